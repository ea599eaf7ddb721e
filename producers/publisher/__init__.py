"""From outboxes to Kafka: in order for each partition, and deleted once acknowledged.

Imports the outbox and the contract.
"""
