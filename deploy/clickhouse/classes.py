"""What a statement would do, told by the engine's own parser, never by its first word."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from evometrics.deploy.clickhouse.statement import raw

NATIVE: Any = importlib.import_module("chdb._chdb")


@dataclass(frozen=True, slots=True)
class StatementClass:
    """What the parser says of a text.

    Attributes:
        reads: it only reads, and its result goes to the client.
        changes: it changes data or tables: INSERT, CREATE, ALTER, OPTIMIZE, ...
        controls: it is about the session, the engine or files: SET, USE, KILL, SYSTEM, INTO OUTFILE, ...
        statements: how many there are in the text; none if it does not parse.
    """

    reads: bool
    changes: bool
    controls: bool
    statements: int

    @property
    def parses(self) -> bool:
        """Whether the engine's parser takes the text and knows what it does."""
        return self.reads or self.changes or self.controls


def classify(connection: Any, sql: str) -> StatementClass:
    """Classify a statement on a chDB connection, without running it; 0.1 ms for a usual one."""
    told = connection._conn.classify_query(raw(sql))
    kind, kinds = told["query_class"], NATIVE.query_class
    return StatementClass(
        reads=kind == kinds.READ_ONLY,
        changes=kind in (kinds.MUTATING, kinds.MUTATING_GLOBAL),
        controls=kind == kinds.CONTROL,
        statements=told["statement_count"],
    )
