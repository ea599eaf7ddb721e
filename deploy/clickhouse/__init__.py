"""ClickHouse for one machine: chDB (the engine in a library) behind ClickHouse's HTTP interface.

Runs as `python -m evometrics.deploy.clickhouse`. Imports `process`.
"""

__all__ = ["process", "settings", "web_guard"]
