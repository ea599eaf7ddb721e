"""The kinds of history files, and the rows that their readers yield."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, Protocol

from evometrics.deploy.history.columns import KPI_COLUMNS, has_evolutions
from evometrics.deploy.history.exported import AS_EVOLUTIONS, EXPORTED, exported_table
from evometrics.deploy.history.measurements import SNAPSHOT_TIMES, kpi_snapshot, system_event
from evometrics.deploy.history.recorded import recorded_event
from evometrics.producers.events.metric_row import TIME_COLUMNS, evolution_completed
from evometrics.schemas.events import Event
from evometrics.schemas.service.settings import SettingsError

logger = logging.getLogger(__name__)

STRATEGY = "strategy"
#: Conversion of a row to an event, by its kind; a strategy becomes a part of its evolution's event.
CONVERSIONS: Mapping[str, Callable[[Mapping[str, Any], str], Event]] = {
    "evolution": evolution_completed,
    "snapshot": kpi_snapshot,
    "system_event": system_event,
    "event": recorded_event,
    **{f"exported {record}": conversion for record, conversion in EXPORTED.items()},
}
#: The tables under which rows of CSV, JSON lines or Parquet are counted, except our own exports.
EVOLUTIONS, SNAPSHOTS, EVENTS = "evolutions", "kpi_snapshots", "system_events"
#: The table whose rows become a part of an evolution's event.
STRATEGIES = "evolution_strategies"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of a file.

    Attributes:
        kind: a key of `CONVERSIONS`, or `STRATEGY`.
        table: the name it is counted and reported under.
        place: where it is, by one name: `line` (CSV, JSON lines), `number` (Parquet, and SQLite tables that
            have no rowid), `rowid` (SQLite) or `path` (JSON).
        problem: why its cells can't be determined; empty if they can.
    """

    kind: str
    table: str
    place: Mapping[str, int | str]
    cells: Mapping[str, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class AboutFile:
    """What the user says about a file of another tool.

    Attributes:
        run_id: the id that its run was recorded under while it ran; empty if it was not.
        zone: of local times without a zone; None if it is not given.
    """

    run_id: str = ""
    zone: tzinfo | None = None

    def local(self, path: Path, writer: str) -> tzinfo:
        """Return the zone of a file's local times; a warning says that UTC is assumed where none is given."""
        if self.zone is None:
            logger.warning(
                "%s: %s has written local times without their zone; they are read as UTC: if they are not, "
                "give --timezone",
                path,
                writer,
            )
        return self.zone or UTC

    def check_one_run(self, path: Path, runs: Sequence[str]) -> None:
        """Raise `SettingsError` if a run's id is given for a file of several runs."""
        if self.run_id and len(runs) > 1:
            raise SettingsError(f"{path}: has {len(runs)} runs ({shown(runs)}); --run-id can name only one")


NOTHING_GIVEN = AboutFile()


class HistoryFile(Protocol):
    """A history file. Its constructor raises `SettingsError` if the file is not of its kind.

    Attributes:
        tables: every table that `rows` may name, in the order in which they are shown.
        total: number of rows; None if it is unknown before reading.
    """

    tables: tuple[str, ...]
    total: int | None

    def rows(self) -> Iterator[SourceRow]:
        """Yield the rows in the file's order, an evolution's strategies before it; holds a few at a time.

        If the file is damaged, a row that says so stands for those that can't be read.
        """


@dataclass(frozen=True, slots=True)
class FileTable:
    """The kind of the rows of a CSV or Parquet file, or of JSON lines.

    Attributes:
        kind: a key of `CONVERSIONS`.
        name: the table that they are counted under.
        record: the record whose table it is, if ClickHouse exported it; else empty.
    """

    kind: str
    name: str
    record: str = ""

    def row(self, place: Mapping[str, int | str], cells: Mapping[str, Any], problem: str = "") -> SourceRow:
        """Return one of the table's rows."""
        return SourceRow(self.kind, self.name, place, cells, problem)


def table_of(path: Path, columns: Sequence[str]) -> FileTable:
    """Return the kind of a table's rows, by its columns. Raises `SettingsError` for unknown ones."""
    ours = exported_table(path, columns)
    if ours is AS_EVOLUTIONS:
        return FileTable("evolution", ours.table, ours.record)
    if ours is not None:
        return FileTable(f"exported {ours.record}", ours.table, ours.record)
    found = set(columns)
    if found.isdisjoint(("success", "status")):
        if "agent_id" in found and not found.isdisjoint(KPI_COLUMNS) and not found.isdisjoint(SNAPSHOT_TIMES):
            return FileTable("snapshot", SNAPSHOTS)
        if "event_type" in found and not found.isdisjoint(TIME_COLUMNS):
            return FileTable("system_event", EVENTS)
    if not has_evolutions(columns):
        raise SettingsError(
            f"{path}: has the columns {shown(columns)}; evolutions need agent_id and a time "
            f"({' or '.join(TIME_COLUMNS)}), and success or status"
        )
    return FileTable("evolution", EVOLUTIONS)


def shown(columns: Sequence[str]) -> str:
    """Return columns as a message lists them."""
    listed = ", ".join(repr(name)[1:-1] for name in columns) or "none"
    return listed if len(listed) <= 300 else f"{listed[:300]}…"
