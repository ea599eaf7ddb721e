"""The tables' definition: numbered SQL files, and how they are applied, once each.

Imports `clickhouse`.
"""
