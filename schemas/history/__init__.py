"""A node's own history, a SQLite file: its layout, and the specification's four questions.

Nodes write such files, `MetricsQuery.local` answers from them, and imports read them. Arguments and results
of the questions are defined here for ClickHouse too. Imports the rest of the contract, but not Kafka.
"""

__all__ = ["file", "found", "query", "questions"]
