"""A node's own Prometheus metrics, and the server that a scrape asks.

Imports the outbox's figures and the contract.
"""
