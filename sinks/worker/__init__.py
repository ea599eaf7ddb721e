"""The sink worker: each message in its table once.

Imports `clickhouse` and the contract.
"""
