"""Whose a SQLite file is, determined without a trace: nothing is locked, written, or created beside it.

A file of ours says so in its header (`application_id`, and its format in `user_version`). Those of earlier
releases have no mark; they are recognized by having one table, exactly as it was created, and nothing else.
"""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from evometrics.producers.sqlite.pages import page_bytes_of_wal, table_definitions


class Whose(Enum):
    """What was found under a name that may be ours."""

    OURS = "ours"
    NEWER = "of a newer release"
    FOREIGN = "not ours"
    NOTHING = "not there"
    BROKEN = "not a database that SQLite can read"


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file that we write: its marks, and its one table's definition, newest first."""

    application: int
    version: int
    table: str
    definitions: tuple[str, ...]

    def marks(self) -> str:
        """Return the statements that turn an empty database into one of this kind."""
        return (
            f"PRAGMA application_id = {self.application}; PRAGMA user_version = {self.version}; "
            f"{self.definitions[0]}"
        )

    def knows(self, tables: list[tuple[str, str]]) -> bool:
        """Return whether a database's definitions are the table of this kind, as some release created it."""
        known = {words(definition) for definition in self.definitions}
        return len(tables) == 1 and tables[0][0] == self.table and words(tables[0][1]) in known


def words(definition: str) -> str:
    """Return a definition's words, for comparison without regard to white space."""
    return " ".join(definition.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").split())


def whose(path: Path, kind: Format) -> Whose:
    """Return whose the file under a name is. Raises OSError where it may not be read."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return Whose.NOTHING
    if not stat.S_ISREG(mode):
        return Whose.FOREIGN
    # Not opened by Python: closing a handle would drop the locks that SQLite holds on the file elsewhere in
    # this process. SQLite itself keeps such a handle until the locks are released.
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as database:
            application = database.execute("PRAGMA application_id").fetchone()[0]
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if application == kind.application:
                return Whose.NEWER if version > kind.version else Whose.OURS
            tables = definitions(database)
            page_bytes = database.execute("PRAGMA page_size").fetchone()[0]
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CANTOPEN:
            raise PermissionError(str(error)) from error
        return Whose.BROKEN
    if not tables:
        # What was not yet checkpointed is only in the WAL.
        wal = path.with_name(path.name + "-wal")
        tables = table_definitions(path, page_bytes_of_wal(wal) or page_bytes)
    if not tables and path.stat().st_size == 0:
        return Whose.BROKEN
    return Whose.OURS if kind.knows(tables) else Whose.FOREIGN


def definitions(database: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return name and definition of everything that a database defines."""
    return [(str(name), str(sql)) for name, sql in database.execute("SELECT name, sql FROM sqlite_master")]
