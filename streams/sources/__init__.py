"""The topics that a stream reads, as they are: their ids, their growth, and the broker's clock.

Imports the contract and Kafka.
"""
