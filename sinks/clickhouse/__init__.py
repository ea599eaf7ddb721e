"""Access to ClickHouse: clients, clusters, inserts by blocks.

Imports the settings and the contract.
"""

__all__ = ["blocks", "client", "cluster", "column_types", "grants", "inserts", "users"]
