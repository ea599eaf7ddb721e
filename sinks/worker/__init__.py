"""The sink worker: stores each message in its table once.

Imports `clickhouse` and the contract.
"""
