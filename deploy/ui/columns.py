"""What columns are called on a page, and how their values are written there: by the column's name.

CSV files and SQL have the names and all digits; pages have words and units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from evometrics.deploy.ui.cells import MOST_CHARACTERS, is_number, shown, whole
from evometrics.deploy.ui.page import Row, Rows

#: Names whose words are not simply the name with blanks.
WORDS = {
    "agent_id": "Agent",
    "began_at": "Began",
    "cost_per_success": "Cost per success",
    "cost_usd": "Cost",
    "duration_minutes": "Duration",
    "duration_seconds": "Duration",
    "efficiency": "Efficiency",
    "event_id": "Event",
    "event_type": "Event",
    "evolution_type": "Type",
    "first_at": "First",
    "kpi": "KPI",
    "last_at": "Last",
    "mean_gain_of_successes": "Mean gain where kept",
    "measured_at": "Measured at",
    "message_value": "Message",
    "minutes": "Time spent",
    "node_id": "Node",
    "occurred_at": "Time",
    "reported_at": "Reported",
    "run_id": "Run",
    "seconds_ago": "Ago",
    "source_event_id": "Event",
    "source_offset": "Offset",
    "source_partition": "Partition",
    "source_topic": "Topic",
    "strategy_used": "Strategy",
    "success_rate": "Success",
    "tokens_in": "Tokens in",
    "tokens_out": "Tokens out",
}
SHARES = frozenset({"success_rate", "low", "high"})
COSTS = frozenset({"cost", "cost_usd", "cost_per_success", "cost_so_far"})
GAINS = frozenset({"gain", "mean_gain", "mean_gain_of_successes", "last_change", "change", "gained"})
BYTES = frozenset({"bytes", "outbox_bytes"})
#: Seconds in one of the column's unit.
DURATIONS = {"duration_seconds": 1.0, "seconds_ago": 1.0, "duration_minutes": 60.0, "minutes": 60.0}
IDS = frozenset({"event_id", "source_event_id", "last_event"})
#: Characters of an id that a cell shows, its last ones: ids of one night begin alike.
ID_END = 6
#: Columns that another one's large figure shows with its own value.
SHOWN_WITH: Mapping[str, tuple[str, ...]] = {
    "success_rate": ("low", "high"),
    "attempts": ("succeeded",),
    "tokens_in": ("tokens_out",),
}
#: Columns that a table shows in another one's cells.
WITHIN: Mapping[str, tuple[str, ...]] = {"success_rate": ("low", "high"), "reason": ("last_reason",)}
#: The column that says how many rows there are, of which a share was asked for.
OF_ALL = "of_all"
#: What is said below a large figure of the columns that it shows, too.
BELOW = {
    "success_rate": ("", "low", " to ", "high", " with 95 % confidence"),
    "attempts": ("", "succeeded", " succeeded"),
    "tokens_in": ("and ", "tokens_out", " out"),
}


def heading(column: str) -> str:
    """Return what a column is called."""
    return WORDS.get(column) or column[:1].upper() + column[1:].replace("_", " ")


def written(column: str, value: Any) -> str:
    """Return a column's value for a cell."""
    if column in IDS and value is not None:
        return f"…{str(value)[-ID_END:]}"
    if isinstance(value, datetime):
        return f"{value:%-d %b %H:%M:%S}"
    if isinstance(value, list | tuple):
        return shown(", ".join(str(each) for each in value))
    if column == "status":
        return shown(value).replace("_", " ")
    if not is_number(value) or not isfinite(value):
        return shown(value)
    if column in SHARES:
        return f"{value:.1%}".replace("%", " %")
    if column in COSTS:
        return usd(value)
    if column in GAINS:
        return f"{value:+,.4g}"
    if column in BYTES:
        return size(value)
    if column in DURATIONS:
        return duration(value * DURATIONS[column])
    return shown(value)


def usd(value: float) -> str:
    """Return dollars, to the cent from a dollar on, below with three digits."""
    if abs(value) >= 1 or value == 0:
        return f"${value:,.2f}"
    return f"${value:.3g}" if abs(value) >= 1e-4 else f"${value:.1e}"


def size(value: float) -> str:
    """Return bytes in a unit that leaves three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    if abs(seconds) < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def is_long(value: Any) -> bool:
    """Return whether a text has more to it than its cell shows."""
    return isinstance(value, str) and len(value) > MOST_CHARACTERS


def is_time(value: Any) -> bool:
    """Return whether a value is a point in time."""
    return isinstance(value, datetime)


def instant(value: datetime) -> str:
    """Return a time as HTML has it, in UTC."""
    return f"{whole(value).replace(' ', 'T')}Z"


def are_numbers(rows: Rows, column: str) -> bool:
    """Return whether a column has numbers, which stand at its right end."""
    return next((is_number(row[column]) for row in rows if row[column] is not None), False)


def of_table(row: Row) -> list[str]:
    """Return the columns that a table has: some are shown in the cells of others, or in the note."""
    inside = {OF_ALL} | {each for name, others in WITHIN.items() if name in row for each in others}
    return [name for name in row if name not in inside]


@dataclass(frozen=True, slots=True)
class Figure:
    """A large figure, and what is said below it: pieces of text, and columns by their names."""

    column: str
    value: Any
    below: tuple[str, ...] = ()


def figures(row: Row) -> list[Figure]:
    """Return a row's figures; what is not known has none."""
    found: list[Figure] = []
    taken: set[str] = set()
    for name, value in row.items():
        if value is None or value == "":
            continue
        others = SHOWN_WITH.get(name, ())
        if others and all(other in row and row[other] is not None for other in others):
            found.append(Figure(name, value, BELOW[name]))
            taken.update(others)
        else:
            found.append(Figure(name, value))
    return [each for each in found if each.column not in taken]
