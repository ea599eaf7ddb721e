"""Every topic in one place: its record, its ClickHouse table, its retention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic = one Avro subject = one table.

    Attributes:
        name: the Kafka topic; the subject in a registry is `<name>-value`.
        record: folder in `avro/`, and `Event.record` of its event class.
        kind: raw (recorded by producers), derived (computed by streams) or dead_letter.
        table: the name analysts use in ClickHouse.
        retention_ms: how long Kafka keeps a message; ClickHouse's raw tables outlive it.
    """

    name: str
    record: str
    kind: Literal["raw", "derived", "dead_letter"]
    table: str
    retention_ms: int = 14 * DAY_MS

    @property
    def subject(self) -> str:
        """The registry's subject for values (TopicNameStrategy)."""
        return f"{self.name}-value"


EVOLUTION_STARTED = Topic("evometrics.evolution.started", "evolution_started", "raw", "evolution_started")
EVOLUTION_PROGRESSED = Topic(
    "evometrics.evolution.progressed", "evolution_progressed", "raw", "evolution_progressed", 3 * DAY_MS
)
EVOLUTION_COMPLETED = Topic(
    "evometrics.evolution.completed", "evolution_completed", "raw", "evolution_completed"
)
KPI_SNAPSHOTS = Topic("evometrics.kpi.snapshots", "kpi_snapshot", "raw", "kpi_snapshots")
SYSTEM_EVENTS = Topic("evometrics.system.events", "system_event", "raw", "system_events")
CUSTOM_METRICS = Topic("evometrics.custom.metrics", "custom_metric", "raw", "custom_metrics")
EVOLUTION_METRICS = Topic("evometrics.evolution.metrics", "evolution_metrics", "derived", "evolution_metrics")
KPI_DELTAS = Topic("evometrics.kpi.deltas", "kpi_delta", "derived", "kpi_deltas")
SUCCESS_RATES = Topic("evometrics.success.rates", "success_rate", "derived", "success_rates")
DEAD_LETTERS = Topic("evometrics.dead-letters", "dead_letter", "dead_letter", "dead_letters", 30 * DAY_MS)

TOPICS: tuple[Topic, ...] = (
    EVOLUTION_STARTED,
    EVOLUTION_PROGRESSED,
    EVOLUTION_COMPLETED,
    KPI_SNAPSHOTS,
    SYSTEM_EVENTS,
    CUSTOM_METRICS,
    EVOLUTION_METRICS,
    KPI_DELTAS,
    SUCCESS_RATES,
    DEAD_LETTERS,
)
RAW_TOPICS = tuple(t for t in TOPICS if t.kind == "raw")
DERIVED_TOPICS = tuple(t for t in TOPICS if t.kind == "derived")
BY_NAME = {t.name: t for t in TOPICS}
BY_RECORD = {t.record: t for t in TOPICS}

#: Partial counts per source partition, keyed by scope and value; read and written by streams only.
SCOPE_COUNTS = "evometrics.internal.scope-counts"
#: Partial counts are merged within seconds; a week covers an outage of the merging part.
SCOPE_COUNTS_RETENTION_MS = 7 * DAY_MS


def topic_named(name: str) -> Topic:
    """Return the topic; raises `KeyError` naming it and the existing topics."""
    try:
        return BY_NAME[name]
    except KeyError:
        raise KeyError(f"no topic {name!r}; the topics are {', '.join(sorted(BY_NAME))}") from None
