"""The exporters that a node's settings ask for."""

from __future__ import annotations

from pathlib import Path

from evometrics.producers.exporters.exporter import Exporter
from evometrics.producers.exporters.influxdb import InfluxDBBackend
from evometrics.producers.exporters.pushgateway import PrometheusBackend
from evometrics.producers.settings import CollectorSettings


def configured_exporters(settings: CollectorSettings) -> list[Exporter]:
    """Return the exporters that the settings ask for. Raises `SettingsError` where one lacks its library."""
    exporters: list[Exporter] = []
    interval = settings.flush_interval
    if gateway := settings.prometheus_gateway:
        exporters.append(
            PrometheusBackend(
                gateway, node_id=settings.node_id, interval=interval, beside=Path(settings.db_path)
            )
        )
    if url := settings.influxdb_url:
        exporters.append(InfluxDBBackend(url, token=settings.influxdb_token, interval=interval))
    return exporters
