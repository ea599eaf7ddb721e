"""Queries for what a replay has not read, as far as the live tables show it. Pure.

An event is identified by its own row, or by its derived rows if Kafka or the raw tables no longer hold it.
"""

from __future__ import annotations

from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_METRICS, KPI_DELTAS, KPI_SNAPSHOTS
from evometrics.sinks.replay.sql import STORED


def unread_completions(read: str) -> str:
    """Return the query for the last event time, microseconds, of a completion not read, or 0."""
    own = f"SELECT occurred_at FROM {EVOLUTION_COMPLETED.table}_rows WHERE {STORED} AND event_id"
    metrics = (
        f"SELECT occurred_at FROM {EVOLUTION_METRICS.table}_rows "
        f"WHERE {STORED} AND status != 'abandoned' AND source_event_id"
    )
    unread = " UNION ALL ".join(f"{each} NOT IN (SELECT event_id FROM {read})" for each in (own, metrics))
    return f"SELECT toUnixTimestamp64Micro(max(occurred_at)) FROM ({unread})"


def unread_snapshots(read: str) -> str:
    """Return the query for the number of snapshots not read."""
    own = f"SELECT 1 FROM {KPI_SNAPSHOTS.table}_rows WHERE {STORED} AND event_id"
    deltas = f"SELECT 1 FROM {KPI_DELTAS.table}_rows WHERE {STORED} AND snapshot_event_id"
    unread = " UNION ALL ".join(f"{each} NOT IN (SELECT event_id FROM {read})" for each in (own, deltas))
    return f"SELECT count() FROM ({unread})"
