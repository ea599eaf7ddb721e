"""From batches of events to rows and states: pure but for what they keep in memory.

Imports states, rows and formulas; neither Kafka nor Faust.
"""
