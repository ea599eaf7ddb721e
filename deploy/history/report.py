"""What came of an import: counts per table, and a report of the rows that were not taken."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from evometrics.deploy.history.sources import SourceRow


@dataclass(slots=True)
class Counts:
    """What came of one table's rows; each row read is in one of the others.

    Attributes:
        to_import: not published yet; after a dry run those that would be, unless they are there already.
        imported: published by this run, and acknowledged by Kafka.
        already_there: published by an earlier run, or the same event as an earlier row.
        rejected: in the report.
    """

    read: int = 0
    to_import: int = 0
    imported: int = 0
    already_there: int = 0
    rejected: int = 0


class Report:
    """A file with one JSON line for each rejected row: source, table, place, reason, and the row.

    Written anew by each run, and as the run goes on; there is no file where nothing was rejected. Use it
    as a context manager.
    """

    def __init__(self, path: Path, source: Path) -> None:
        self.path = path
        self.source = str(source)
        self.file: TextIO | None = None
        self.rejected = 0

    def __enter__(self) -> Report:
        self.path.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.file is not None:
            self.file.close()

    def add(self, row: SourceRow, reason: str) -> None:
        """Write one row."""
        if self.file is None:
            self.file = self.path.open("w", encoding="utf-8")
        about: dict[str, Any] = {"source": self.source, "table": row.table, **row.place}
        about |= {"reason": reason.encode(errors="replace").decode(), "row": row.cells}
        self.file.write(json.dumps(about, default=shown) + "\n")
        self.rejected += 1


def shown(value: object) -> str:
    """Return a cell that JSON has no form for: bytes as hex, times as ISO 8601."""
    return value.hex() if isinstance(value, bytes) else str(value)
