"""Access to ClickHouse: clients, clusters, inserts by blocks.

Imports the settings and the contract.
"""
