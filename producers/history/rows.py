"""From an event to its rows in the history's tables: by table, column and value. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from evometrics.schemas.events import (
    Event,
    EvolutionCompleted,
    EvolutionMetrics,
    EvolutionStarted,
    KpiSnapshot,
    SystemEvent,
)
from evometrics.schemas.evolutions.joining import metrics_of
from evometrics.schemas.evolutions.snapshots import snapshots_of
from evometrics.schemas.history.file import JSON_COLUMNS
from evometrics.schemas.kpis.performance import KPI_NAMES

SNAPSHOT_COLUMNS = (
    *(
        "agent_id",
        "event_id",
        "node_id",
        "evolution_id",
        "phase",
        "source_event_id",
        "objective",
        "direction",
    ),
    *(*KPI_NAMES, "overall_performance", "evaluation_count", "confidence_interval"),
)
encode_json = json.JSONEncoder(ensure_ascii=False).encode
#: Events that are looked up again by their evolution.
OF_EVOLUTIONS = (EvolutionStarted, EvolutionCompleted)


def evolution_rows(
    done: EvolutionCompleted, start: EvolutionStarted | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of an evolution, with fields of its start that the completion lacks."""
    metrics = metrics_of(done, start)
    yield "evolution_metrics", evolution_row(metrics)
    yield "evolution_strategies", strategy_row(metrics)


def rows_of(event: Event) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a system event and of snapshots: recorded ones, and an evolution's KPIs.

    Progress has rows in `events` only; for evolutions see `evolution_rows`.
    """
    at = event.occurred_at / 1e6
    if isinstance(event, KpiSnapshot):
        yield "kpi_snapshots", snapshot_row(event)
    for snapshot in snapshots_of(event):
        yield "kpi_snapshots", snapshot_row(snapshot)
    if isinstance(event, SystemEvent):
        names = ("event_type", "data", "event_id", "agent_id", "node_id")
        yield "system_events", {"timestamp": at} | {name: getattr(event, name) for name in names}


def snapshot_row(snapshot: KpiSnapshot) -> dict[str, Any]:
    """Return the row of `kpi_snapshots`."""
    row = {name: getattr(snapshot, name) for name in SNAPSHOT_COLUMNS}
    row |= {"extra": as_json(snapshot.extra), "metadata": as_json(snapshot.metadata)}
    return {"timestamp": snapshot.occurred_at / 1e6, **row}


def evolution_row(metrics: EvolutionMetrics) -> dict[str, Any]:
    """Return the row of `evolution_metrics`; what was not measured is NULL."""
    row = metrics.to_record()
    row["timestamp"] = row.pop("occurred_at") / 1e6
    row["started_at"] /= 1e6
    row |= dict.fromkeys(row.keys() & set(metrics.unmeasured))
    return row | {name: as_json(row[name]) for name in JSON_COLUMNS}


def strategy_row(metrics: EvolutionMetrics) -> dict[str, Any]:
    """Return the row of `evolution_strategies`: what was applied and what it gained."""
    return {
        "evolution_id": metrics.evolution_id,
        "strategy_name": metrics.strategy_used,
        "risk_level": metrics.risk_level,
        "target_gain": metrics.target_gain,
        "actual_gain": metrics.improvement_delta,
        "success": metrics.success,
        "applied_at": metrics.started_at / 1e6,
        "event_id": metrics.event_id,
    }


def event_row(event: Event, topic: str, key: str, value: bytes, now: float) -> dict[str, Any]:
    """Return the row of `events`: the event as it was recorded."""
    return {
        "event_id": event.event_id,
        "topic": topic,
        "key": key,
        "evolution_id": event.evolution_id if isinstance(event, OF_EVOLUTIONS) else None,
        "recorded_at": now,
        "value": value,
    }


def as_json(value: Mapping[str, Any] | list[Any]) -> str:
    return encode_json(value) if value else "{}" if isinstance(value, Mapping) else "[]"
