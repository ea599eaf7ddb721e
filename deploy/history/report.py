"""The result of an import: counts per table, and a report of the rejected rows."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import psutil

from evometrics.deploy.history.sources import SourceRow
from evometrics.producers.events.left_out import said
from evometrics.schemas.service.settings import SettingsError

#: The fields of each line of a report.
FIELDS = {"source", "table", "reason", "row"}
BEGINNING = b'{"source": '
MOST_CHARACTERS = 1_000_000
#: Maximum length of a line in bytes: a CSV file's largest cell, each character of which may be escaped.
LONGEST_LINE = 100_000_000


@dataclass(slots=True)
class TableCounts:
    """The results of one table's rows; each row read is in one of the others.

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

    It is written beside its destination and moved there when all rows are read, even if reading ended early;
    if nothing was rejected there is no file, and an earlier report is deleted. Other files are never replaced
    or deleted; a device or a pipe is written to. Use it as a context manager.
    """

    def __init__(self, path: Path, source: Path) -> None:
        """Raises `SettingsError` if the name is taken by something else."""
        #: A link stays one: its target is written. Anything but a file (/dev/stdout) has only this name.
        self.path = path if path.exists() and not path.is_file() else path.resolve()
        self.source = str(source)
        self.file: TextIO | None = None
        self.written = self.path
        self.rejected = 0
        check_place(path, self.path, source)

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.file is None:
            with contextlib.suppress(OSError):
                if kind is None and self.path.is_file() and self.path.stat().st_size:
                    self.path.unlink()
            return
        try:
            self.file.close()
            if self.written != self.path:
                self.written.replace(self.path)
        except OSError as failure:
            if self.written != self.path:
                self.written.unlink(missing_ok=True)
            raise self.cant_be_written(failure) from None

    def add(self, row: SourceRow, reason: str) -> None:
        """Write one row. Raises `SettingsError` if the report can't be written."""
        about: dict[str, Any] = {"source": self.source, "table": row.table, **row.place}
        about["reason"] = reason.encode(errors="replace").decode()
        line = f'{json.dumps(about)[:-1]}, "row": {cells_json(row.cells)}}}\n'
        try:
            if self.file is None:
                self.file = self.open()
            self.file.write(line)
        except OSError as failure:
            raise self.cant_be_written(failure) from None
        self.rejected += 1

    def open(self) -> TextIO:
        """Open the file to write: beside the report's destination, or the device or pipe itself."""
        if self.path.exists() and not self.path.is_file():
            return self.path.open("w", encoding="utf-8")
        beginning = f".{self.path.name[:100]}."
        for left in self.path.parent.glob(f"{glob.escape(beginning)}*"):  # by imports that were killed
            process = left.name.removeprefix(beginning).partition(".")[0]
            if process.isdecimal() and not psutil.pid_exists(int(process)):
                left.unlink(missing_ok=True)
        number, name = tempfile.mkstemp(dir=self.path.parent, prefix=f"{beginning}{os.getpid()}.")
        self.written = Path(name)
        umask = os.umask(0)
        os.umask(umask)
        self.written.chmod(0o666 & ~umask)
        return os.fdopen(number, "w", encoding="utf-8")

    def cant_be_written(self, failure: OSError) -> SettingsError:
        """Return the error that says so, with the way out."""
        return SettingsError(
            f"{self.path}: the report of rejected rows can't be written ({failure.strerror or failure}): "
            "name another with --report"
        )


def check_place(named: Path, path: Path, source: Path) -> None:
    """Raise `SettingsError` if a report's path is taken by something else."""
    if path == source.resolve() or (path.exists() and source.exists() and path.samefile(source)):
        raise SettingsError(f"--report {named}: is the file to import; name another")
    if path.is_dir():
        raise SettingsError(f"--report {named}: is a folder; name a file in it")
    if path.is_file() and not is_report(path):
        raise SettingsError(f"--report {named}: exists and is not a report of an import; name another file")


def is_report(path: Path) -> bool:
    """Return whether a file is one of our reports, or empty."""
    try:
        with path.open("rb") as file:
            line = file.readline(LONGEST_LINE) if file.peek(1).startswith(BEGINNING) else file.read(1)
        found = json.loads(line) if line else dict.fromkeys(FIELDS)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= FIELDS


def cells_json(cells: Mapping[str, Any]) -> str:
    """Return a row's cells as JSON, or as JSON of their text if one of them has no JSON form."""
    try:
        return json.dumps(cells, default=shown, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return json.dumps({"text": said(cells, MOST_CHARACTERS)})


def shown(value: object) -> str:
    """Return a cell without a JSON form as text: bytes as hex, times as ISO 8601."""
    return value.hex() if isinstance(value, bytes) else str(value)
