"""The sink worker: stores each message in its table once.

Imports `clickhouse`, `migrations` and the contract.
"""

__all__ = ["worker"]
