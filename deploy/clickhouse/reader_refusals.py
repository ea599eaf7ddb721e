"""What a reader is told: what is refused, what may be used in its place, and a name that nothing has.

A name that is nowhere in the engine is answered as the engine answers it, with names that are like it: most
such names are typing errors. What is there and not for readers is refused (497); what a database that is not
theirs holds they aren't told.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from evometrics.deploy.clickhouse.catalog import Catalog, rows
from evometrics.deploy.clickhouse.exchange import EngineError
from evometrics.deploy.clickhouse.readable import SYSTEM_TABLES, TABLE_FUNCTIONS
from evometrics.deploy.clickhouse.users import ReaderRights

#: Where what is allowed stands, each with its reason.
LISTS = "evometrics/deploy/clickhouse/readable.py"
FUNCTIONS_LISTED = f"functions that only calculate may be called: {LISTS} lists them"
TABLE_FUNCTIONS_LISTED = f"those may be used that make rows out of their arguments: {LISTS} lists them"
PARTS_LISTED = f"{LISTS} lists what a statement may hold"
#: As `GrantQuery` and `SHOW USERS query` stand in the engine's error for what has no tree.
NO_TREE = re.compile(r"AST node of type '(?P<name>[^']+)'")


def denied(reader: ReaderRights, what: str, may: str = PARTS_LISTED) -> EngineError:
    """Return the error (497) for what a reader may not use; `may` says what it may."""
    message = f"{reader.name}: Not enough privileges: {what} is not for a user who only reads: {may}"
    return EngineError.named(497, "ACCESS_DENIED", message)


def no_function(connection: Any, catalog: Catalog, reader: ReaderRights, name: str) -> EngineError:
    """Return the error for a function that may not be called, or that is none (46)."""
    made = rows(
        connection, "SELECT 1 FROM system.functions WHERE lower(name) = {f:String}", {"f": name.lower()}
    )
    if made or catalog.has_function(name):
        return denied(reader, f"function {name}", FUNCTIONS_LISTED)
    meant = like(name, (each for each in catalog.names if catalog.calculates(each)))
    return EngineError.named(46, "UNKNOWN_FUNCTION", f"Function with name `{name}` does not exist{meant}")


def no_table_function(
    connection: Any, catalog: Catalog, reader: ReaderRights, database: str, name: str
) -> EngineError:
    """Return the error for a table function that may not be used, or that is none (46)."""
    if name.lower() in catalog.table_functions:
        return denied(reader, f"table function {name}", TABLE_FUNCTIONS_LISTED)
    views = "SELECT name FROM system.tables WHERE database = {d:String} AND engine = 'View'"
    meant = like(name, [*TABLE_FUNCTIONS, *(view for (view,) in rows(connection, views, {"d": database}))])
    return EngineError.named(46, "UNKNOWN_FUNCTION", f"Unknown table function {name}{meant}")


def no_table(connection: Any, reader: ReaderRights, database: str, name: str) -> EngineError:
    """Return the error for a table that may not be read, or that is not there (60, 81)."""
    if not has_database(connection, database):
        return no_database(connection, reader, database)
    if database == "system":
        there = "SELECT 1 FROM system.tables WHERE database = 'system' AND name = {t:String}"
        if not rows(connection, there, {"t": name}):
            meant = like(name, SYSTEM_TABLES)
            return EngineError.named(60, "UNKNOWN_TABLE", f"Table system.{name} does not exist{meant}")
    return denied(reader, f"table {database}.{name}", tables_listed(reader))


def no_database(connection: Any, reader: ReaderRights, name: str) -> EngineError:
    """Return the error for a database that may not be read, or that is not there (81)."""
    if has_database(connection, name):
        return denied(reader, f"database {name}", tables_listed(reader))
    meant = like(name, (*reader.databases, "system"))
    return EngineError.named(81, "UNKNOWN_DATABASE", f"Database {name} does not exist{meant}")


def tables_listed(reader: ReaderRights) -> str:
    """Return which tables a reader may read."""
    readable = ", ".join(f"{name}.*" for name in reader.databases)
    return f"{readable} and the tables of system that {LISTS} lists may be read"


def has_database(connection: Any, name: str) -> bool:
    """Return whether there is such a database."""
    return bool(rows(connection, "SELECT 1 FROM system.databases WHERE name = {d:String}", {"d": name}))


def too_long() -> EngineError:
    """Return the error for a statement with more elements than are checked: a long list of values."""
    message = (
        "The statement has more than 50,000 elements, and is not checked for a reader. Bring a long list as "
        "a parameter, IN {ids:Array(String)} with param_ids, or as an external table"
    )
    return EngineError.named(168, "TOO_BIG_AST", message)


def like(name: str, names: Iterable[str]) -> str:
    """Return the end of a message that says which of the names may have been meant."""
    close = difflib.get_close_matches(name.lower(), sorted(set(names)), n=2, cutoff=0.7)
    return f". Maybe you meant: {close}" if close else ""


def statement_kind(name: str, tree: Mapping[str, Any] | None = None) -> str:
    """Return what a statement is called, by its node in the parser's tree: `CREATE TEMPORARY TABLE`."""
    name = name.removesuffix("Query").removesuffix(" query")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).upper()
    tree = tree or {}
    if words not in ("CREATE", "DROP"):
        return words
    verb = str(tree.get("kind") or ("ATTACH" if tree.get("attach") else words)).upper()
    return " ".join([verb, *(["TEMPORARY"] if tree.get("is_temporary") else []), thing(tree)])


def thing(tree: Mapping[str, Any]) -> str:
    """Return what a CREATE or DROP is about."""
    if tree.get("is_ordinary_view") or tree.get("is_view"):
        return "VIEW"
    if tree.get("is_materialized_view"):
        return "MATERIALIZED VIEW"
    if tree.get("is_dictionary"):
        return "DICTIONARY"
    return "TABLE" if tree.get("table") else "DATABASE"
