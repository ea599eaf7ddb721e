"""State tables in changelog topics, and ownership of their partitions.

Imports the states and Kafka.
"""

__all__ = ["losses", "ownership", "tables", "topics"]
