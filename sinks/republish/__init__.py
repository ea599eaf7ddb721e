"""The events of the raw tables to Kafka again.

Imports `raw`.
"""
