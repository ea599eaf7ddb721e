"""Exports of recorded events to other systems: InfluxDB and a Pushgateway.

Imports the contract, the events, the settings and `metrics`.
"""

__all__ = ["configured", "exporter", "influxdb", "pushgateway"]
