"""Our own tables, exported by ClickHouse to a file: which table it is, and each row's original event.

`SELECT * FROM evolution_completed FORMAT CSVWithNames` (or Parquet), of any raw table or its `_rows`. Ids are
kept, so existing events are not published again. Derived tables are computed by the stream: only
`evolution_metrics` is accepted, as the evolutions that its rows are about.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from evometrics.producers.events.cells import Cells, Unreadable, number, text
from evometrics.schemas.events import EVENT_CLASSES, Event
from evometrics.schemas.rules.validation import TIME_FIELDS
from evometrics.schemas.service.settings import SettingsError
from evometrics.schemas.topics import BY_RECORD, EVOLUTION_METRICS, RAW_TOPICS, Topic
from evometrics.schemas.wire.catalog import released

IDS = frozenset({"event_id", "source_event_id"})
#: What to import instead of a table that can't be imported.
INSTEAD = {
    "kpi_delta": "the stream computes it: import kpi_snapshots",
    "success_rate": "the stream computes it: import evolution_completed",
    "dead_letter": "`evometrics dead-letters retry` sends its messages again",
}


def exported_table(path: Path, columns: Iterable[str]) -> Topic | None:
    """Return the topic whose table has these columns; None if it is not one of our tables.

    Raises `SettingsError` for a table that no import can restore.
    """
    there = set(columns)
    matching = [
        (len(first), BY_RECORD[record])
        for record, versions in released().items()
        if (first := {field["name"] for field in versions[0].source["fields"]}) <= there
    ]
    if not matching:
        return None
    topic = max(matching, key=lambda match: match[0])[1]
    if topic.record in INSTEAD:
        raise SettingsError(f"{path}: is an export of {topic.table}, and {INSTEAD[topic.record]}")
    return topic


def exported_event(cls: type[Event]) -> Callable[[Mapping[str, Any], str], Event]:
    """Return the function that converts a row of a record's table to its event, field by field."""
    fields = dataclasses.fields(cls)

    def event(row: Mapping[str, Any], node_id: str) -> Event:
        """Return the row's event. Raises `Unreadable`."""
        cells = Cells(row)
        values: dict[str, Any] = {}
        for field in fields:
            value = cell(cells, field.name, str(field.type))
            if value is not None:
                values[field.name] = value
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                # Unmeasured values are NULL in the table; in the event they are 0, and named.
                if field.name not in cells.items("unmeasured"):
                    raise Unreadable(f"{field.name}: is missing")
                values[field.name] = 0.0
        return cls(**values)

    return event


def cell(cells: Cells, name: str, kind: str) -> Any:
    """Return a field's value by its type; None if the cell holds none."""
    if name in IDS:
        return cells.identity(name)
    if name in TIME_FIELDS:
        return cells.moment(name)
    match kind:
        case "str":
            # An empty text is a value here; in other files it means nothing.
            return "" if cells.row.get(name) == "" else cells.text(name)
        case "bool":
            return cells.flag(name)
        case "dict[str, float]":
            return cells.numbers(name)
        case "dict[str, str]":
            return cells.texts(name)
        case "list[float]":
            return [number(name, item) for item in cells.items(name)]
        case "list[str]":
            return [text(name, item) for item in cells.items(name)]
    return READERS[kind.removesuffix(" | None")](cells, name)


READERS: Mapping[str, Callable[[Cells, str], Any]] = {
    "str": Cells.text,
    "int": Cells.whole,
    "float": Cells.number,
}
#: Converters, by record, of the tables that are read field by field.
EXPORTED = {topic.record: exported_event(EVENT_CLASSES[topic.record]) for topic in RAW_TOPICS}
#: The one derived table whose rows are accepted, as evolutions.
AS_EVOLUTIONS = EVOLUTION_METRICS


def texts_of(record: str) -> frozenset[str]:
    """Return the columns of a record's table that hold a single text, neither list nor map."""
    return frozenset(
        field.name
        for field in dataclasses.fields(EVENT_CLASSES[record])
        if str(field.type).removesuffix(" | None") == "str"
    )
