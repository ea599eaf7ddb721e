"""From batches of events to rows and states: pure except for the states kept in memory.

Imports states, rows and formulas; neither Kafka nor Faust.
"""

__all__ = ["computations", "evolutions", "work"]
