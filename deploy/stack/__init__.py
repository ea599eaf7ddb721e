"""The embedded stack: all parts as processes of one machine, on one data folder.

Imports `kafka`, `clickhouse`, `process` and `pipeline`.
"""

__all__ = ["backup", "disks", "parts", "password", "stack", "stackfile"]
