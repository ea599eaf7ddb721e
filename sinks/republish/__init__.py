"""The events of the raw tables, sent to Kafka again.

Imports `raw` and the contract.
"""

__all__ = ["republish", "target"]
