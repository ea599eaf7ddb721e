"""The files that history can be in, and what a reader of one gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from evometrics.deploy.history.measurements import kpi_snapshot, system_event
from evometrics.deploy.history.recorded import recorded_event
from evometrics.producers.metric_row import TIME_COLUMNS, evolution_completed
from evometrics.schemas.events import Event
from evometrics.schemas.settings import SettingsError

Kind = Literal["evolution", "strategy", "snapshot", "system_event", "event"]
#: How a row becomes an event; a strategy becomes a part of its evolution's.
CONVERSIONS: Mapping[Kind, Callable[[Mapping[str, Any], str], Event]] = {
    "evolution": evolution_completed,
    "snapshot": kpi_snapshot,
    "system_event": system_event,
    "event": recorded_event,
}
#: The table that rows of a CSV or Parquet file are counted under.
EVOLUTIONS = "evolutions"
#: The table whose rows become a part of an evolution's event.
STRATEGIES = "evolution_strategies"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row as a file has it.

    Attributes:
        table: what it is counted and reported under.
        place: where it is, by one name: `line` (CSV), `row` (Parquet), `rowid` (SQLite) or `path` (JSON).
        problem: why its cells can't be told; empty where they can.
    """

    kind: Kind
    table: str
    place: Mapping[str, int | str]
    cells: Mapping[str, Any]
    problem: str = ""


class Source(Protocol):
    """A file of history. Making one raises `SettingsError` where the file is none of its kind.

    Attributes:
        tables: every table that `rows` may name, in the order in which they are shown.
        total: how many rows there are; None where only reading tells.
    """

    tables: tuple[str, ...]
    total: int | None

    def rows(self) -> Iterator[SourceRow]:
        """Yield the rows in the file's order, an evolution's strategies before it; holds a few at a time."""


def check_columns(path: Path, columns: list[str]) -> None:
    """Raise `SettingsError` where a file of evolutions lacks what each evolution must have."""
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise SettingsError(f"{path}: column {', '.join(twice)} is there twice")
    if "agent_id" not in columns or not any(name in columns for name in TIME_COLUMNS):
        raise SettingsError(
            f"{path}: has the columns {', '.join(columns) or 'none'}; evolutions need agent_id and a time "
            f"({' or '.join(TIME_COLUMNS)}), and success or status"
        )
