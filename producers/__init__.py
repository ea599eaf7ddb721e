"""What an orchestrator node runs: collector, resource sampler, outbox, publisher, reference orchestrator."""

from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.producers.events.evolution_events import EvolutionCompletionEvent, EvolutionEvent
from evometrics.producers.events.kpi import AgentKPI
from evometrics.producers.exporters.influxdb import InfluxDBBackend
from evometrics.producers.exporters.pushgateway import PrometheusBackend
from evometrics.producers.history.store import SQLiteMetricsBackend
from evometrics.producers.persistence import MetricsPersistence
from evometrics.producers.recording import Recorder, Run
from evometrics.schemas.history.query import LocalMetricsQuery

__all__ = [
    "AgentKPI",
    "EvolutionCompletionEvent",
    "EvolutionEvent",
    "EvolutionMetricsCollector",
    "InfluxDBBackend",
    "LocalMetricsQuery",
    "MetricsPersistence",
    "PrometheusBackend",
    "Recorder",
    "Run",
    "SQLiteMetricsBackend",
]
