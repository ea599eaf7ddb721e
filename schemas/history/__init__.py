"""A node's own history, a SQLite file: its layout, and the specification's four questions.

Nodes write such files, `MetricsQuery.local` answers from them, and imports read them. What the questions take
and return is here for ClickHouse too. Imports the rest of the contract, no Kafka.
"""
