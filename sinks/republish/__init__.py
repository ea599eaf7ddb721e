"""The events of the raw tables, sent to Kafka again.

Imports `raw`.
"""
