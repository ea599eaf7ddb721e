"""Recorded events on their way to other systems: InfluxDB and a Pushgateway.

Imports the contract and `metrics`.
"""
