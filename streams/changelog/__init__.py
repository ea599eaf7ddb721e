"""State tables in changelog topics, and ownership of their partitions.

Imports the states and Kafka.
"""
