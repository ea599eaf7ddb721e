"""What an orchestrator node runs: collector, resource sampler, outbox, publisher, reference orchestrator."""

from evometrics.producers.collector import EvolutionMetricsCollector
from evometrics.producers.evolution_events import EvolutionCompletionEvent, EvolutionEvent
from evometrics.producers.influxdb import InfluxDBBackend
from evometrics.producers.kpi import AgentKPI
from evometrics.producers.local_history import SQLiteMetricsBackend
from evometrics.producers.persistence import MetricsPersistence
from evometrics.producers.pushgateway import PrometheusBackend
from evometrics.schemas.local_query import LocalMetricsQuery

__all__ = [
    "AgentKPI",
    "EvolutionCompletionEvent",
    "EvolutionEvent",
    "EvolutionMetricsCollector",
    "InfluxDBBackend",
    "LocalMetricsQuery",
    "MetricsPersistence",
    "PrometheusBackend",
    "SQLiteMetricsBackend",
]
