"""The topics that a stream reads: their ids, their growth, the broker's clock, events in wrong partitions.

Imports the contract and Kafka.
"""

__all__ = ["clock", "misplaced", "topics"]
