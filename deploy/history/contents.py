"""Determines a file's kind from its beginning; text and JSON may be gzipped."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import json
import re
import stat
import zlib
from io import BufferedReader
from pathlib import Path
from typing import TextIO

from evometrics.schemas.service.settings import SettingsError

GZIP = b"\x1f\x8b"
BEGINNING = 4096
#: Maximum length of a cell, and of a line, in characters: several times that of an event.
MOST_CHARACTERS = 16_000_000
#: Beginnings of files that one of our readers accepts as they are.
TAKEN = {b"SQLite format 3\0": "sqlite", b"PAR1": "parquet"}
#: Beginnings of other files, what they are, and how to get at their content.
NAMED = {
    b"PK\x03\x04": ("a zip archive, or an Excel workbook", "unpack it; of a workbook save the sheet as CSV"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an Excel workbook", "save its sheet as CSV"),
    b"BZh": ("compressed by bzip2", "decompress it"),
    b"\xfd7zXZ\0": ("compressed by xz", "decompress it"),
    b"\x28\xb5\x2f\xfd": ("compressed by Zstandard", "decompress it"),
    b"PARE": ("Parquet with an encrypted footer", "write it without encryption"),
    b"ARROW1": ("an Arrow file", "write it as Parquet"),
    b"ORC": ("an ORC file", "write it as Parquet"),
    b"Obj\x01": ("an Avro container", "write it as Parquet"),
    b":W&B": (
        "an offline run of W&B in a format without documentation",
        "`wandb sync` it, and export it (docs/how-to/import-history.md)",
    ),
    b"\x89HDF": ("an HDF5 file", "write its table as CSV or Parquet"),
    b"\x80\x04\x95": ("a Python pickle", "write its rows as CSV or Parquet"),
    b"\x80\x05\x95": ("a Python pickle", "write its rows as CSV or Parquet"),
}
#: Byte order marks; the longer ones first.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
JSON_LIST = re.compile(r"\[\s*[{\]]")
#: Beginning of the KPI engine's state, if it is on one line.
STATE = re.compile(
    r'\s*\{\s*"(active_agents|retired_agents|evolution_history|population_stats|last_|expert_)'
)
#: Errors that reading a truncated or damaged file can raise.
DAMAGE = (OSError, EOFError, zlib.error, UnicodeError)


def open_bytes(path: Path) -> BufferedReader | gzip.GzipFile:
    """Open a file for reading, decompressed if it is gzipped. Raises `OSError`."""
    with path.open("rb") as file:
        compressed = file.read(len(GZIP)) == GZIP
    return gzip.open(path) if compressed else path.open("rb")


def check_file(path: Path) -> None:
    """Raise `SettingsError` if a path can't be read twice, `OSError` if there is nothing."""
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise SettingsError(
            f"{path}: is a pipe or a device, but must be read twice: write it to a file first"
        )


def beginning_of(path: Path) -> bytes:
    """Return a file's first bytes, decompressed. Raises `SettingsError` if they can't be read."""
    try:
        with open_bytes(path) as file:
            return file.read1(BEGINNING)
    except DAMAGE as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{path}: can't be read: {reason}") from None


def kind_of(path: Path) -> str:
    """Return which reader accepts a file. Raises `SettingsError`, with the file's kind, if none does."""
    start = beginning_of(path)
    if not start:
        raise SettingsError(f"{path}: is empty")
    with path.open("rb") as file:
        compressed = file.read(len(GZIP)) == GZIP
    for magic, kind in TAKEN.items():
        if start.startswith(magic):
            if compressed:
                raise SettingsError(f"{path}: is {kind} compressed by gzip: decompress it (gunzip)")
            return kind
    for magic, (what, way_out) in NAMED.items():
        if start.startswith(magic):
            raise SettingsError(f"{path}: is {what}, which is not supported: {way_out}")
    text = start.decode(encoding_of(start), "ignore").lstrip()
    if JSON_LIST.match(text):
        raise SettingsError(
            f"{path}: is a JSON list, which is not supported: write one object per line (jq -c '.[]')"
        )
    if text.startswith("{"):
        return "jsonl" if has_json_lines(path) else "state"
    return "csv"


def open_text(path: Path) -> TextIO:
    """Open a text; undecodable bytes become characters that `cells.text` refuses."""
    encoding = encoding_of(beginning_of(path))
    errors = "surrogateescape" if encoding.startswith("utf-8") else "surrogatepass"
    return io.TextIOWrapper(open_bytes(path), encoding, errors, newline="")


def has_json_lines(path: Path) -> bool:
    """Return whether a text that begins as a JSON object has one in each line, judging by its first two."""
    with open_text(path) as file:
        try:
            first = list(itertools.islice(filter(str.strip, file), 2))
        except DAMAGE:
            first = []
    if not first or STATE.match(first[0]):
        return False
    return is_json(first[0]) or (first[-1] is not first[0] and first[-1].startswith("{"))


def is_json(text: str) -> bool:
    """Return whether a text is complete JSON; numbers too long to be read are accepted."""
    try:
        json.loads(text, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True


def encoding_of(start: bytes) -> str:
    """Return the encoding of a text that begins in ASCII, from its first bytes."""
    for mark, name in BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return name
    if start[1:2] == b"\0" and start[3:4] == b"\0":
        return "utf-16-le"
    if start[:1] == b"\0" and start[2:3] == b"\0":
        return "utf-16-be"
    return "utf-8"
