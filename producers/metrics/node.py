"""A node's own Prometheus metrics: of its outbox and recording, the specification's four, and its own code's.

Needs prometheus_client (`evometrics[prometheus]`). The node's figures are read at each scrape; events are
counted as they are recorded (`events`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from evometrics.producers.metrics.events import EventMetrics
from evometrics.producers.outbox.latency import Latency
from evometrics.schemas import metrics as m
from evometrics.schemas.service.settings import SettingsError
from evometrics.schemas.topics import RAW_TOPICS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric


#: Every topic has its series from the start.
NO_EVENTS = {topic.name: 0 for topic in RAW_TOPICS}


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """A node's figures at one moment; counters since its collector was made.

    Attributes:
        oldest: when the oldest waiting event was recorded, Unix seconds; None where none waits.
        disk_free: bytes left on the outbox's disk; None where that is not known.
    """

    depth: int
    bytes: int
    oldest: float | None
    disk_free: int | None
    recorded: Mapping[str, int]
    sent: Mapping[str, int]
    shed: Mapping[str, int]
    left_out: Mapping[str, int]
    rejected: int
    refused: int
    failed: int
    publish_errors: int
    connected: bool
    latency: Latency


def require_client(setting: str, value: object) -> None:
    """Raise `SettingsError`, naming the setting, where prometheus_client is not installed."""
    if find_spec("prometheus_client") is None:
        raise SettingsError(
            f"setting {setting}={value!r}: needs prometheus_client; install `evometrics[prometheus]`, "
            "or leave the setting out"
        )


class NodeMetrics:
    """One registry with all metrics of a node's collector."""

    def __init__(self, figures: Callable[[], NodeFigures]) -> None:
        from prometheus_client import CollectorRegistry

        self.figures = figures
        self.registry: CollectorRegistry = CollectorRegistry()
        self.events = EventMetrics(self.registry)
        self.registry.register(self)

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not collect the figures to learn their names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the node's current figures."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        now, found = time.time(), self.figures()
        age = 0.0 if found.oldest is None else max(0.0, now - found.oldest)
        gauges = {
            m.OUTBOX_EVENTS: found.depth,
            m.OUTBOX_BYTES: found.bytes,
            m.OUTBOX_OLDEST_SECONDS: age,
            m.BROKER_CONNECTED: float(found.connected),
        }
        for definition, value in gauges.items():
            yield GaugeMetricFamily(definition.name, definition.help, value=value)
        if found.disk_free is not None:
            free = GaugeMetricFamily(m.DISK_FREE.name, m.DISK_FREE.help, labels=m.DISK_FREE.labels)
            free.add_metric(["outbox"], found.disk_free)
            yield free
        counters = {
            m.EVENTS_REJECTED: found.rejected,
            m.EVENTS_REFUSED: found.refused,
            m.EVENTS_FAILED: found.failed,
            m.PUBLISH_ERRORS: found.publish_errors,
        }
        for definition, value in counters.items():
            yield CounterMetricFamily(definition.name, definition.help, value=value)
        build = GaugeMetricFamily(m.BUILD_INFO.name, m.BUILD_INFO.help, labels=m.BUILD_INFO.labels)
        build.add_metric([version("evometrics"), "node"], 1)
        yield build
        labelled = {
            m.EVENTS_RECORDED: {**NO_EVENTS, **found.recorded},
            m.EVENTS_SENT: {**NO_EVENTS, **found.sent},
            m.EVENTS_SHED: {**NO_EVENTS, **found.shed},
            m.VALUES_LEFT_OUT: found.left_out,
        }
        for definition, values in labelled.items():
            family = CounterMetricFamily(definition.name, definition.help, labels=definition.labels)
            for label, value in values.items():
                family.add_metric([label], value)
            yield family
        buckets = [
            ("+Inf" if bound == float("inf") else repr(bound), n) for bound, n in found.latency.cumulated()
        ]
        yield HistogramMetricFamily(
            m.RECORD_SECONDS.name, m.RECORD_SECONDS.help, buckets=buckets, sum_value=found.latency.total
        )
