"""External data: tables that come with a request as parts of a form, and live as long as its statement.

A part NAME with a file name holds a table's rows; NAME_structure or NAME_types describe its columns, and
NAME_format them (https://clickhouse.com/docs/engines/table-engines/special/external-data).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from evometrics.deploy.clickhouse.exchange import EngineError, ExternalTable
from evometrics.deploy.clickhouse.statement import quote

#: Endings of the parameters that describe a table.
DESCRIPTIONS = ("_structure", "_types", "_format")


def external_table(name: str, rows: IO[bytes], parameters: Mapping[str, str]) -> ExternalTable:
    """Return the table of a form's part; raises `EngineError` if no parameter describes its columns."""
    structure = parameters.get(f"{name}_structure", "")
    types = parameters.get(f"{name}_types", "")
    if not structure and types:
        structure = ", ".join(f"_{place} {kind}" for place, kind in enumerate(split_types(types), start=1))
    if not structure:
        text = f"Neither {name}_structure nor {name}_types was given for the external table {name!r}"
        raise EngineError.named(36, "BAD_ARGUMENTS", text)
    return ExternalTable(name, structure, parameters.get(f"{name}_format") or "TabSeparated", rows)


def split_types(types: str) -> Iterator[str]:
    """Yield the types of a list; a type may have commas in its brackets and quotes."""
    depth, start, quoted = 0, 0, False
    for place, letter in enumerate(types):
        if letter == "'":
            quoted = not quoted
        elif not quoted:
            depth += (letter == "(") - (letter == ")")
            if letter == "," and depth == 0:
                yield types[start:place].strip()
                start = place + 1
    yield types[start:].strip()


def checked_structure(connection: Any, table: ExternalTable) -> str:
    """Return a table's columns as the engine understands them; raises chDB's error, or `EngineError`.

    They are names and types, as the elements of a Tuple are: an expression, such as a DEFAULT, would be
    evaluated with all rights of this server.
    """
    escaped = table.structure.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    sql = "SELECT toTypeName(defaultValueOfTypeName({type:String}))"
    text = str(connection.query(sql, "RawBLOB", params={"type": f"Tuple({escaped})"}).bytes().decode())
    if not text.startswith("Tuple(") or text == "Tuple()":
        raise EngineError.named(36, "BAD_ARGUMENTS", f"{table.structure!r} is no list of columns")
    return text.removeprefix("Tuple(").removesuffix(")")


@contextlib.contextmanager
def loaded(connection: Any, tables: Sequence[ExternalTable]) -> Iterator[None]:
    """Have the tables on a connection while one statement runs. Raises chDB's errors.

    Structure and format are literals to the engine: nothing of a request becomes a part of these statements.
    """
    made: list[str] = []
    try:
        for table in tables:
            structure = quote(checked_structure(connection, table))
            table.rows.seek(0)
            file = quote(f"/dev/fd/{table.rows.fileno()}")
            name = quote(table.name, "`")
            connection.query(
                f"CREATE TEMPORARY TABLE {name} ENGINE = Memory AS "
                f"SELECT * FROM file({file}, {quote(table.format)}, {structure}, 'none')"
            )
            made.append(name)
        yield
    finally:
        for table in tables:
            table.rows.close()
        for name in made:
            connection.query(f"DROP TEMPORARY TABLE IF EXISTS {name}")
