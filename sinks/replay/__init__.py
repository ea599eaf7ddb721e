"""Derived tables recomputed from recorded events, compared with the live ones, and repaired.

Imports `raw`, `retention`, and the stream's own computations.
"""

__all__ = ["checkpoints", "compare", "recompute", "replay", "settings", "shadow", "source", "sql", "topics"]
