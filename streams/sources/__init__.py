"""The present state of the topics that a stream reads: their ids, their growth, and the broker's clock.

Imports the contract and Kafka.
"""

__all__ = ["clock", "topics"]
