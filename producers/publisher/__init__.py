"""From outboxes to Kafka: in order within each partition, and deleted from disk once acknowledged.

Imports the outbox and the contract.
"""
