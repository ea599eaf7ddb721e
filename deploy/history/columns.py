"""Recognises the columns of a history table, whatever case and spacing their names have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from evometrics.producers.events.metric_row import TIME_COLUMNS
from evometrics.schemas.events import EVENT_CLASSES, field_names
from evometrics.schemas.kpis.performance import KPI_NAMES

#: Column names accepted in addition to those of our events' fields (`producers/events/metric_row.py`).
OTHER_NAMES = (
    *("id", "timestamp", "completed_at", "last_updated", "strategy_name", "applied_at", "actual_gain"),
    *("pre_evolution_kpis", "post_evolution_kpis"),
)
KPI_COLUMNS = (*KPI_NAMES, "overall_performance", "evaluation_count", "confidence_interval")
PREFIXES = ("pre_", "post_")
#: Separators between the words of a name.
BETWEEN = re.compile(r"[\s_.-]+")
#: pandas' name of its column of row numbers, whose name is empty in a CSV.
INDEX = "__index_level_0__"


def squashed(name: str) -> str:
    """Return a name as it is compared: `Agent ID` and `agentId` both become `agentid`."""
    return BETWEEN.sub("", name).lower()


KNOWN = {
    squashed(name): name
    for name in (
        *OTHER_NAMES,
        *(name for cls in EVENT_CLASSES.values() for name in field_names(cls)),
        *(prefix + name for prefix in PREFIXES for name in KPI_NAMES),
    )
}


def named(header: Sequence[str]) -> list[str]:
    """Return our names of a header's columns; a column without a name is named after its position."""
    return [column(name.strip("\ufeff").strip(), place) for place, name in enumerate(header, start=1)]


def column(name: str, place: int) -> str:
    """Return our name of one column."""
    if not name:
        return INDEX if place == 1 else f"column {place}"
    if found := KNOWN.get(squashed(name)):
        return found
    for prefix in PREFIXES:
        if name.lower().startswith(prefix):
            return prefix + name[len(prefix) :]
    return name


def cells_of(columns: Sequence[str], values: Iterable[Any]) -> tuple[dict[str, Any], str]:
    """Return a row's cells by name, and what is wrong with them: a name twice with different values."""
    cells: dict[str, Any] = {}
    problem = ""
    for name, value in zip(columns, values, strict=False):
        known = cells.get(name)
        if empty(known):
            cells[name] = value
        elif known != value and not empty(value):
            problem = f"{name}: appears twice, as {str(known)[:80]!r} and {str(value)[:80]!r}"
    return cells, problem


def empty(value: object) -> bool:
    """Return whether a cell holds nothing."""
    return value is None or value == ""


def has_evolutions(columns: Iterable[str]) -> bool:
    """Return whether a table of these columns can be one of evolutions."""
    found = set(columns)
    return "agent_id" in found and not found.isdisjoint(TIME_COLUMNS)
