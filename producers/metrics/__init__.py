"""A node's own Prometheus metrics, and the server that Prometheus scrapes.

Imports the outbox's figures and the contract.
"""
