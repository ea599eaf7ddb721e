"""The pipeline as a whole: its topics, its nodes, the rights of each role in Kafka, and whether it has
caught up.

Imports `process` and the other folders.
"""

__all__ = ["acls", "drain", "lag", "new_topics", "nodes", "reconcile", "rights", "topics"]
