"""Opens another program's SQLite file for reading, wherever it lies."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from evometrics.schemas.history.file import BUSY_SECONDS
from evometrics.schemas.service.settings import SettingsError

#: Position of the read version in the header, and its value for a file in WAL mode
#: (sqlite.org/fileformat.html).
READ_VERSION_AT, WAL = 19, 2
#: Errors that reading a damaged file can raise; its names, and so SQLite's messages, may not be UTF-8.
SQLITE_ERRORS = (sqlite3.Error, UnicodeError)


def open_database(path: Path) -> sqlite3.Connection:
    """Open a file for reading; undecodable text becomes characters that `cells.text` refuses.

    Reading a file in WAL mode needs a file beside it (`-shm`), which SQLite creates; in a read-only folder
    the file can be read as it is if no `-wal` holds more of it. Raises `SettingsError`.
    """
    try:
        return opened(path, "mode=ro")
    except SQLITE_ERRORS as error:
        failure: Exception = error
    for suffix, what in (("-wal", "is in WAL mode"), ("-journal", "was left in the middle of a transaction")):
        beside = path.resolve().with_name(path.resolve().name + suffix)
        if beside.exists() and beside.stat().st_size:
            raise SettingsError(
                f"{path}: {what}, and can't be read here ({failure}): copy it, with {beside.name}, to a "
                "writable folder"
            )
    if in_wal_mode(path):
        try:
            return opened(path, "mode=ro&immutable=1")
        except SQLITE_ERRORS as error:
            failure = error
    way_out = f"; `sqlite3 {path.name} .recover` recovers what it can" if "malformed" in str(failure) else ""
    raise SettingsError(f"{path}: can't be read as SQLite: {failure}{way_out}")


def opened(path: Path, how: str) -> sqlite3.Connection:
    """Open a file and try to read from it. Raises one of `SQLITE_ERRORS`."""
    db = sqlite3.connect(
        f"{path.resolve().as_uri()}?{how}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )
    db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except SQLITE_ERRORS:
        db.close()
        raise
    return db


def in_wal_mode(path: Path) -> bool:
    """Return, from a file's header, whether it is in WAL mode; False if it can't be read."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        header = file.read(READ_VERSION_AT)
        return len(header) == READ_VERSION_AT and header[READ_VERSION_AT - 1] == WAL
    return False


def quoted(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'
