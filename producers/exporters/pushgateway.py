"""This process's events as Prometheus metrics, pushed to a Pushgateway."""

from __future__ import annotations

import os
import socket

from evometrics.producers.events.custom_metrics import RegisteredMetric
from evometrics.producers.exporters.exporter import INTERVAL, Exporter
from evometrics.producers.metrics.events import EventMetrics
from evometrics.producers.metrics.node import require_client
from evometrics.schemas.events import Event
from evometrics.schemas.service.settings import masked

JOB = "evolution_metrics"
TIMEOUT = 5.0


class PrometheusBackend(Exporter):
    """Pushes under a job, grouped by instance (the node) and process."""

    def __init__(
        self, gateway_url: str, job_name: str = JOB, *, node_id: str = "", interval: float = INTERVAL
    ) -> None:
        """`node_id`: empty = the host's name. Raises `SettingsError` where prometheus_client is missing."""
        super().__init__(f"pushgateway {masked(gateway_url)}", interval)
        require_client("prometheus_gateway", gateway_url)
        from prometheus_client import CollectorRegistry

        self.gateway = gateway_url
        self.job = job_name
        self.registry = CollectorRegistry()
        self.metrics = EventMetrics(self.registry)
        self.group = {"instance": node_id or socket.gethostname(), "process": str(os.getpid())}

    def observe(self, event: Event) -> None:
        self.metrics.observe(event)

    def register(self, metric: RegisteredMetric) -> None:
        self.metrics.add(metric)

    def send(self) -> None:
        from prometheus_client import push_to_gateway

        push_to_gateway(self.gateway, self.job, self.registry, grouping_key=self.group, timeout=TIMEOUT)
