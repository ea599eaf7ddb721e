"""A connection to ClickHouse: sessions, clusters, inserts by blocks.

Imports the settings and the contract.
"""
