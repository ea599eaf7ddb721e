"""Recorded events read back from the raw tables.

What replay and republish share. Imports `clickhouse`.
"""
