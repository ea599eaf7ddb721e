"""Tables as they are to be: numbered SQL files, and how they are applied, once.

Imports `clickhouse`.
"""
