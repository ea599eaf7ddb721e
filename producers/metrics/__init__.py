"""A node's own Prometheus metrics, and the server that Prometheus scrapes.

Imports the events, the outbox's figures and the contract.
"""

__all__ = ["events", "node", "server"]
