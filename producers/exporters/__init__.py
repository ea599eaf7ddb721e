"""Exports of recorded events to other systems: InfluxDB and a Pushgateway.

Imports the contract and `metrics`.
"""
