"""Recorded events, read back from the raw tables.

Shared by replay and republish. Imports `clickhouse`.
"""

__all__ = ["event", "sql", "steps", "tables"]
