"""What SQLite's errors mean for an outbox: its file is damaged, its disk is full, or it passes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from evometrics.producers.outbox.names import OutboxDamaged, OutboxFull
from evometrics.schemas.service.disk import is_full, space_of

#: What SQLite answers where a file is not as it was written. Others (busy, full) pass.
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
READ_DAMAGE = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_ERROR}
#: What it may answer besides `SQLITE_FULL` where a disk is full, or a quota is used up.
MAY_BE_FULL = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
#: With less than this left, bytes, these mean just that.
LITTLE = 500_000


class Reporting:
    """`with` it: raises what SQLite's errors mean, `OutboxDamaged` or `OutboxFull`; others pass."""

    def __init__(self, path: Path, codes: set[int]) -> None:
        self.path = path
        self.codes = codes

    def __enter__(self) -> None:
        """Every commit is done within one: a generator would cost four times as much."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error) and damages(error, self.codes):
            raise OutboxDamaged(f"outbox {self.path}: {error}") from error
        if isinstance(error, sqlite3.Error | OSError) and lacks_room(error, self.path):
            raise OutboxFull(f"outbox {self.path}: {error}") from error


def damages(error: sqlite3.Error, codes: set[int]) -> bool:
    """Tell whether SQLite means that a file is not as it was written; text that is no UTF-8 has no code."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code in codes or code & 0xFF in DAMAGE


def lacks_room(error: sqlite3.Error | OSError, path: Path) -> bool:
    """Tell whether what went wrong with an outbox's files did so because their disk is full."""
    if isinstance(error, OSError):
        return is_full(error)
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code == sqlite3.SQLITE_FULL:
        return code is not None
    return code & 0xFF in MAY_BE_FULL and space_of(path).free < LITTLE
