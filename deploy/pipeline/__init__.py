"""The pipeline as a whole: its topics, its nodes, and whether it has caught up.

Imports `process` and the other folders.
"""

__all__ = ["drain", "new_topics", "nodes", "reconcile", "topics"]
