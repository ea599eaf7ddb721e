"""Meaning of SQLite's errors for an outbox: a damaged file, a full disk, or a temporary condition."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from evometrics.producers.outbox.names import OutboxDamaged, OutboxFull
from evometrics.schemas.service.disk import is_full, space_of

#: SQLite's codes for a damaged file. Other errors (busy, full) are temporary.
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
READ_DAMAGE = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_ERROR}
#: Codes that it may return besides `SQLITE_FULL` when a disk is full or a quota is used up.
MAY_BE_FULL = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
#: With less free space than this, bytes, those codes mean a full disk.
LITTLE = 500_000


class Reporting:
    """Context manager that raises `OutboxDamaged` or `OutboxFull` for SQLite's errors that mean them.

    Other errors pass through.
    """

    def __init__(self, path: Path, codes: set[int]) -> None:
        self.path = path
        self.codes = codes

    def __enter__(self) -> None:
        """A class because every commit runs within one: a generator would cost four times as much."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error) and damages(error, self.codes):
            raise OutboxDamaged(f"outbox {self.path}: {error}") from error
        if isinstance(error, sqlite3.Error | OSError) and lacks_room(error, self.path):
            raise OutboxFull(f"outbox {self.path}: {error}") from error


def damages(error: sqlite3.Error, codes: set[int]) -> bool:
    """Return whether an error means a damaged file; SQLite has no code for text that is not UTF-8."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code in codes or code & 0xFF in DAMAGE


def lacks_room(error: sqlite3.Error | OSError, path: Path) -> bool:
    """Return whether an error with an outbox's files was caused by a full disk."""
    if isinstance(error, OSError):
        return is_full(error)
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code == sqlite3.SQLITE_FULL:
        return code is not None
    return code & 0xFF in MAY_BE_FULL and space_of(path).free < LITTLE
