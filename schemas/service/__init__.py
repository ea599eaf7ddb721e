"""What every long-running process of this package needs: settings, health, HTTP, shutdown, backoff, disks.

Knows neither events nor Kafka. Imports the metrics' definitions.
"""

__all__ = [
    "agent_series",
    "agents",
    "backoff",
    "beginnings",
    "compiled",
    "disk",
    "distribution",
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
