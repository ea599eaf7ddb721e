"""What a program says of its evolution: one JSON object, in a file or as the last line of its output.

Numbers are KPIs; a few names are fields of the event; anything else is metadata.
"""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Names that are fields of EvolutionCompleted, not KPIs.
FIELDS = ("cost_usd", "tokens_in", "tokens_out", "evaluations", "model", "candidate", "insights")
#: A larger file is no object of KPIs, bytes.
LARGEST = 1 << 20


class NoObject(Exception):
    """There is no JSON object where one is expected; the message says what is there."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a program says.

    Attributes:
        kpis: numbers by name.
        fields: fields of EvolutionCompleted by name.
        metadata: everything else, as text.
    """

    kpis: dict[str, Any] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


def sorted_out(given: dict[str, Any]) -> Said:
    """Return what an object says; a null says nothing."""
    said = Said()
    for name, value in given.items():
        if value is None:
            continue
        if name in FIELDS:
            said.fields[name] = value
        elif isinstance(value, int | float):
            said.kpis[name] = value
        else:
            said.metadata[name] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return said


def parsed(text: str | bytes) -> dict[str, Any]:
    """Return a JSON object. Raises `NoObject`."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoObject(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise NoObject("JSON, but no object")
    return found


def object_or_file(text: str) -> dict[str, Any]:
    """Return the JSON object that a text is, or that is in the file it names. Raises `NoObject`."""
    return parsed(text) if text.lstrip().startswith("{") else KpiFile(Path(text)).read()


def of_line(line: bytes) -> dict[str, Any]:
    """Return the object that a line of output is; an empty one where it is none."""
    try:
        return parsed(line) if line.startswith(b"{") else {}
    except NoObject:
        return {}


class KpiFile:
    """A file that a program writes its KPIs to; what an earlier one left there is not taken for its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before: tuple[int, ...] | None = None

    def note(self) -> None:
        """Note what is there before the program starts."""
        self.before = mark(self.path)

    def read(self) -> dict[str, Any]:
        """Return the object that the program has written. Raises `NoObject`."""
        now = mark(self.path)
        if now is None:
            raise NoObject(f"{self.path}: there is no such file")
        if now == self.before:
            raise NoObject(f"{self.path}: left by an earlier program; this one has not written it")
        try:
            with self.path.open("rb") as file:
                text = file.read(LARGEST + 1)
        except OSError as error:
            raise NoObject(f"{self.path}: {error.strerror}") from None
        if len(text) > LARGEST:
            raise NoObject(f"{self.path}: larger than {LARGEST} bytes")
        try:
            return parsed(text)
        except NoObject as error:
            raise NoObject(f"{self.path}: {error}") from None


def mark(path: Path) -> tuple[int, ...] | None:
    """Return what tells a file from one that is written later; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    # what is read from a pipe, as `<(…)` is, is nobody's before
    regular = stat.S_ISREG(found.st_mode)
    return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size) if regular else ()
