"""The specification's `MetricsPersistence`: its backends, selected by the config's keys, usable on its own.

What is stored is durable at once in the outbox, as with the collector, and is delivered from there to the
broker, or to the history where none is configured; Pushgateway and InfluxDB get copies.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evometrics.producers.collector.background import Sending
from evometrics.producers.collector.journal import Journal
from evometrics.producers.events.cells import Unreadable
from evometrics.producers.events.encoder import Encoder
from evometrics.producers.events.left_out import LeftOut
from evometrics.producers.events.metric_row import evolution_completed
from evometrics.producers.exporters.exporter import Exporter
from evometrics.producers.outbox.outbox import Outbox
from evometrics.producers.settings import collector_settings
from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionMetrics
from evometrics.schemas.rules.validation import InvalidEvent
from evometrics.schemas.topics import RAW_TOPICS

logger = logging.getLogger(__name__)

RAW_RECORDS = frozenset(topic.record for topic in RAW_TOPICS)


class MetricsPersistence:
    """Keeps metrics in every backend that a config names: `initialize`, then `store_metric`, then `close`.

    The config is the collector's: `db_path`, `history_db`, `retention_days`, `brokers`, `prometheus_gateway`,
    `influxdb_url` and the others. Without `brokers`, metrics are delivered to the history.

    Attributes:
        backends: recipients of the metrics besides the broker: the history, Pushgateway, InfluxDB.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Raises `SettingsError` naming an unknown config key or a bad value."""
        self.settings, self.kafka = collector_settings(config)
        self.encoder = Encoder(self.settings.node_id)
        self.outbox = Outbox(
            Path(self.settings.db_path),
            max_bytes=self.settings.outbox_max_mb * 1e6,
            group=self.settings.buffer_size,
        )
        self.journal = Journal(self.encoder, self.outbox, strict=True)
        self.sending = Sending(self.settings, self.kafka, self.journal)
        self.journal.observers.append(self.sending.observe)
        self.running = False

    @property
    def backends(self) -> list[Exporter]:
        """The backends besides the broker, the history first."""
        history = self.sending.history
        return [*([history] if history else []), *(e for e in self.sending.exporters if e is not history)]

    async def initialize(self) -> None:
        """Open the outbox and start delivering to the backends; no server need be reachable.

        Raises `OutboxError` where `db_path` can't be written.
        """
        if not self.running:
            self.running = True
            await asyncio.to_thread(self.journal.open)
            await asyncio.to_thread(self.sending.start)

    async def store_metric(self, metric: object) -> str | None:
        """Store a metric; return its event's id once it is on disk, None where the outbox had no room.

        `metric`: a recorded event, or any object or mapping with the fields of the specification's
        `EvolutionMetrics` (agent_id, timestamp, success or status, performance_score, improvement_delta, …).
        Raises `InvalidEvent` naming the field that can't be kept.
        """
        event = self.event_of(metric)
        return event.event_id if await self.journal.put(event, LeftOut()) else None

    async def close(self) -> None:
        """Deliver what is left to the backends, for up to `stop_timeout` seconds; the rest waits on disk."""
        if not self.running:
            return
        self.running = False
        try:
            await self.sending.drain(self.settings.stop_timeout)
        finally:
            await asyncio.to_thread(self.sending.stop)
            await asyncio.to_thread(self.journal.close)

    def event_of(self, metric: object) -> Event:
        """Return a metric as an event. Raises `InvalidEvent`."""
        if isinstance(metric, Event) and metric.record in RAW_RECORDS:
            return metric
        try:
            return evolution_completed(fields_of(metric), self.settings.node_id)
        except Unreadable as error:
            field, _, reason = str(error).partition(": ")
            raise InvalidEvent(EvolutionCompleted.record, field, reason) from None


def fields_of(metric: object) -> Mapping[str, Any]:
    """Return a metric's fields by name."""
    if isinstance(metric, Mapping):
        return metric
    if isinstance(metric, EvolutionMetrics):
        times = {name: getattr(metric, name) / 1e6 for name in ("occurred_at", "started_at")}
        return metric.to_record() | times
    if dataclasses.is_dataclass(metric) and not isinstance(metric, type):
        return {field.name: getattr(metric, field.name) for field in dataclasses.fields(metric)}
    try:
        return vars(metric)
    except TypeError:
        raise InvalidEvent(
            EvolutionCompleted.record, "metric", f"{metric!r:.80} has no fields; give an object or a mapping"
        ) from None
