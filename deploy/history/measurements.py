"""From rows of KPI snapshots and system events to their events. Pure.

A row that has an `event_id` keeps it. Otherwise ids are derived from everything that identifies a row: a
snapshot's from agent, time and values, a system event's from node, time, type, agent and data. Two rows that
are equal in all of these are one event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from evometrics.producers.events.cells import Cells, Unreadable, as_text, loads, number, text
from evometrics.schemas.events import KpiSnapshot, SystemEvent
from evometrics.schemas.ids import derived_id
from evometrics.schemas.kpis.performance import KPI_NAMES

#: Columns that may hold a snapshot's time.
SNAPSHOT_TIMES = ("timestamp", "occurred_at", "last_updated")
#: Columns of row numbers.
ROW_NUMBERS = ("id", "__index_level_0__")
NUMBER_COLUMNS = (*KPI_NAMES, "overall_performance", "confidence_interval")


def kpi_snapshot(row: Mapping[str, Any], node_id: str) -> KpiSnapshot:
    """Return a snapshot's event. Raises `Unreadable`.

    A column that is not a standard KPI goes into `extra` if it holds a number, else into `metadata`.
    """
    cells = Cells(row)
    agent, at = cells.text("agent_id"), cells.moment(*SNAPSHOT_TIMES)
    if agent is None:
        raise Unreadable("agent_id: is missing")
    if at is None:
        raise Unreadable("timestamp: is missing")
    measured = {name: value for name in NUMBER_COLUMNS if (value := cells.number(name)) is not None}
    count = cells.whole("evaluation_count")
    phase, evolution = cells.text("phase") or "continuous", cells.text("evolution_id")
    node = cells.text("node_id") or node_id
    own, source = cells.identity("event_id"), cells.identity("source_event_id")
    extra, metadata = cells.numbers("extra"), cells.texts("metadata")
    cells.find(*ROW_NUMBERS)
    for name, value in cells.rest().items():
        if is_number(value):
            extra[text("column", name)] = number(name, value)
        else:
            metadata.setdefault(text("column", name), text(name, as_text(value)))
    told: list[Any] = [phase, evolution, count, sorted(measured.items()), sorted(extra.items())]
    values = json.dumps([*told, sorted(metadata.items())] if metadata else told)
    result = KpiSnapshot(
        event_id=own or derived_id("import", "kpi_snapshot", agent, at, values),
        agent_id=agent,
        node_id=node,
        occurred_at=at,
        evolution_id=evolution,
        phase=phase,
        evaluation_count=count,
        extra=extra,
        metadata=metadata,
        source_event_id=source,
    )
    for name, value in measured.items():
        setattr(result, name, value)
    return result


def is_number(value: object) -> bool:
    """Return whether a cell is a number, or the text of one."""
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
        return True
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def system_event(row: Mapping[str, Any], node_id: str) -> SystemEvent:
    """Return a system event; its agent is the row's, else its data's `agent_id`. Raises `Unreadable`."""
    cells = Cells(row)
    at, kind = cells.moment("timestamp", "occurred_at"), cells.text("event_type")
    if at is None:
        raise Unreadable("timestamp: is missing")
    if kind is None:
        raise Unreadable("event_type: is missing")
    _, data = cells.find("data")
    written = "{}" if data is None else text("data", as_text(data))
    held = loads("data", written)
    agent = cells.text("agent_id")
    if agent is None:
        named = held.get("agent_id") if isinstance(held, dict) else None
        agent = text("data[agent_id]", named) if isinstance(named, str) else ""
    node = cells.text("node_id") or node_id
    own = cells.identity("event_id")
    return SystemEvent(
        event_id=own or derived_id("import", "system_event", node, at, kind, agent, written),
        agent_id=agent,
        node_id=node,
        occurred_at=at,
        event_type=kind,
        data=written,
    )
