"""Dead letters: how one is built so that its topic accepts it, and how many are too many.

Stream and sink write them. Imports the event classes, the rules and `wire`.
"""

__all__ = ["letter", "limit"]
