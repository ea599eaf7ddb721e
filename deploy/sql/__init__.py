"""SQL at a terminal: one statement whose rows become a table, JSON, CSV, Parquet or Arrow, or a prompt.

Imports the query interface of the sinks' folder, and how rows are shown.
"""

__all__ = ["prompt", "running", "wanted"]
