"""The tables' definition: numbered SQL files, and how they are applied, once each.

Imports `clickhouse`.
"""

__all__ = ["files", "migrate", "new_columns", "plan", "registered"]
