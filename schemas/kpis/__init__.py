"""The KPIs and the formulas over them: one definition for producers, streams and replay.

Imports nothing else of this package.
"""

__all__ = ["formula", "performance"]
