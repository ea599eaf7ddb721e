"""From outboxes to Kafka: in order within each partition, and deleted from disk once acknowledged.

Imports the outbox, the events and the contract.
"""

__all__ = ["backlog", "executor", "framing", "publisher", "refused", "session", "thread"]
