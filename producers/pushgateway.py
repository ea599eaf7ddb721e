"""The specification's metrics of this process, pushed to a Prometheus Pushgateway."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec

from evometrics.producers.exporters import INTERVAL, Exporter
from evometrics.schemas import metric_defs as m
from evometrics.schemas.events import Event, EvolutionCompleted, KpiSnapshot
from evometrics.schemas.kpis import KPI_NAMES, performance
from evometrics.schemas.settings import SettingsError

JOB = "evolution_metrics"
TIMEOUT = 5.0
PUSHED = (
    m.EVOLUTION_ATTEMPTS,
    m.EVOLUTION_DURATION,
    m.EVOLUTION_IMPROVEMENT,
    m.EVOLUTION_MEMORY,
    m.AGENT_KPI,
)


class PrometheusBackend(Exporter):
    """Pushes under a job, grouped by instance (the node) and process."""

    def __init__(
        self, gateway_url: str, job_name: str = JOB, *, node_id: str = "", interval: float = INTERVAL
    ) -> None:
        """`node_id`: empty = the host's name. Raises `SettingsError` where prometheus_client is missing."""
        super().__init__(f"pushgateway {gateway_url}", interval)
        if find_spec("prometheus_client") is None:
            raise SettingsError(
                f"setting prometheus_gateway={gateway_url!r}: needs prometheus_client; "
                "install `evometrics[prometheus]`, or leave the setting out"
            )
        from prometheus_client import CollectorRegistry

        self.gateway = gateway_url
        self.job = job_name
        self.registry = CollectorRegistry()
        self.metrics = m.Instruments(self.registry, PUSHED)
        self.group = {"instance": node_id or socket.gethostname(), "process": str(os.getpid())}

    def observe(self, event: Event) -> None:
        if isinstance(event, EvolutionCompleted):
            self.observe_completion(event)
        elif isinstance(event, KpiSnapshot):
            kpis = {name: getattr(event, name) for name in (*KPI_NAMES, "overall_performance")} | event.extra
            for name, value in kpis.items():
                if value is not None:
                    self.metrics.gauge(m.AGENT_KPI).labels(event.agent_id, name).set(value)

    def observe_completion(self, event: EvolutionCompleted) -> None:
        """Count one evolution."""
        agent, kind = event.agent_id, event.evolution_type
        self.metrics.counter(m.EVOLUTION_ATTEMPTS).labels(agent, kind, event.status).inc()
        self.metrics.histogram(m.EVOLUTION_DURATION).labels(agent, kind).observe(event.duration_seconds)
        if event.memory_used_mb > 0:
            self.metrics.gauge(m.EVOLUTION_MEMORY).labels(agent).set(event.memory_used_mb)
        before, after = performance(event.pre_kpis), performance(event.post_kpis)
        if before is not None and after is not None:
            self.metrics.gauge(m.EVOLUTION_IMPROVEMENT).labels(agent).set(after - before)

    def send(self) -> None:
        from prometheus_client import push_to_gateway

        push_to_gateway(self.gateway, self.job, self.registry, grouping_key=self.group, timeout=TIMEOUT)
