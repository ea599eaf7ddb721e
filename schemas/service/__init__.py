"""What every long-running process of this package needs: settings, health, HTTP, shutdown, backoff, disks.

Knows neither events nor Kafka. Imports the metrics' definitions.
"""

__all__ = [
    "agents",
    "backoff",
    "beginnings",
    "disk",
    "exposition",
    "health",
    "http",
    "logs",
    "pace",
    "process",
    "registry_access",
    "security",
    "settings",
    "tasks",
    "tls",
]
