"""JSON lines: one object a line, such as ClickHouse's `FORMAT JSONEachRow`; the same tables as in CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evometrics.deploy.history.columns import cells_of, named
from evometrics.deploy.history.contents import DAMAGE, MOST_CHARACTERS, open_text
from evometrics.deploy.history.sources import SourceRow, table_of
from evometrics.producers.events.cells import bounded_int
from evometrics.schemas.service.settings import SettingsError

#: Lines whose names decide the kind of the rows: a recorder may omit fields that a row lacks.
LOOKED_AT = 1000
#: Number of characters shown in the report of a line that is not an object.
SHOWN = 2000


class JsonLinesSource:
    """A file with a JSON object in each line, in UTF-8, UTF-16 or UTF-32, optionally gzipped.

    A line that is not an object is reported, and the next one is read.
    """

    total: int | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        names: dict[str, None] = {}
        wrong = "it contains no object"
        for number, (_, found) in enumerate(objects_of(path)):
            if isinstance(found, dict):
                names.update(dict.fromkeys(named(list(found))))
            elif not number:
                wrong = str(found)
            if number == LOOKED_AT:
                break
        if not names:
            raise SettingsError(f"{path}: can't be read as JSON: {wrong}")
        self.table = table_of(path, list(names))
        self.tables: tuple[str, ...] = (self.table.name,)

    def rows(self) -> Iterator[SourceRow]:
        """Yield a row for each line that is not blank."""
        for number, (line, found) in enumerate(objects_of(self.path), start=1):
            place: dict[str, int | str] = {"line": number}
            if isinstance(found, Exception):
                yield self.table.row(place, {"text": line[:SHOWN]}, str(found))
            elif found:
                cells, problem = cells_of(named(list(found)), found.values())
                yield self.table.row(place, cells, problem)


def objects_of(path: Path) -> Iterator[tuple[str, dict[str, Any] | Exception]]:
    """Yield each line, and its object or the error; blank lines too."""
    with open_text(path) as file:
        while True:
            try:
                line = file.readline(MOST_CHARACTERS)
            except DAMAGE as error:
                yield "", ValueError(f"the file can't be read from here on: {error}")
                return
            if not line:
                return
            try:
                # A number of thousands of digits, which Python refuses to read, costs only its row.
                found = json.loads(line, parse_int=bounded_int) if line.strip() else {}
            except (ValueError, RecursionError) as error:
                yield line, ValueError(f"is not JSON: {error}")
                continue
            yield line, found if isinstance(found, dict) else ValueError("is not a JSON object")
