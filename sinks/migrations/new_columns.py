"""Adds a schema's columns to a table before the first insert of messages that were written with it.

A newer producer may send fields that a table does not have: of a version that ships with this build, if the
database was not migrated yet, or of one that only the registry knows. Either way the storage table gets
columns for them, then the view that analysts read.

Sinks and migrations take turns by the lock of the migrations, and each checks again once it has it. Each
statement may run again without harm: after a kill between table and view, the next one to meet the schema
finds the column missing in the view and continues there.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError

from evometrics.schemas.wire.catalog import WriterSchema, released
from evometrics.schemas.wire.compatibility import IncompatibleSchema
from evometrics.sinks.clickhouse.client import ClickHouseUnavailable
from evometrics.sinks.clickhouse.cluster import for_cluster
from evometrics.sinks.clickhouse.column_types import Column, column_of, quoted
from evometrics.sinks.migrations.lock import LockLost, MigrationLock
from evometrics.sinks.migrations.migrate import own_tables
from evometrics.sinks.settings import ClickHouseSettings

log = logging.getLogger(__name__)

DISTRIBUTED = re.compile(r"Distributed\('?([^',)]+)'?,")
#: ClickHouse's error for a missing privilege.
ACCESS_DENIED = 497
LOW_CARDINALITY = re.compile(r"LowCardinality\((\w+)\)")


class MayNotAdd(ClickHouseUnavailable):
    """The user may not add the columns; the message names them and who to run what as."""


@dataclass(frozen=True, slots=True)
class View:
    """An existing view.

    Attributes:
        columns: each column's type and comment.
        owned: whether it reads with the rights of the user who made it, instead of those of who reads it.
    """

    columns: Mapping[str, tuple[str, str]]
    query: str
    comment: str
    owned: bool


@dataclass(frozen=True, slots=True)
class TableShape:
    """A storage table and its view.

    Attributes:
        columns: the table's columns, name and type.
        view: None if there is none yet.
        cluster: the cluster that it is distributed over, empty for none.
    """

    columns: Mapping[str, str]
    view: View | None
    cluster: str = ""


async def fit(client: AsyncClient, settings: ClickHouseSettings, table: str, schema: WriterSchema) -> bool:
    """Ensure that a table and its view have a column for every field of a schema; return if any was missing.

    Raises `IncompatibleSchema`, naming field and reason, if that is impossible; `MayNotAdd` if the user lacks
    the rights; `clickhouse_connect`'s errors.
    """
    shape = await read_shape(client, settings, table)
    if not changes(settings, table, schema, shape):
        return False
    settings = dataclasses.replace(settings, cluster=shape.cluster)
    try:
        for statement in own_tables(settings):
            await client.command(statement)
        await fit_locked(client, settings, table, schema)
        return True
    except DatabaseError as error:
        if error.code != ACCESS_DENIED:
            raise
        raise MayNotAdd(
            f"{settings.database}.{table} needs columns for {described(schema)} that user {settings.user!r} "
            "may not add; its messages wait. Run `evometrics migrate` as a user with the migrator's role, "
            f"and with the same registry if there is one ({' '.join(str(error).split())[:300]})"
        ) from error


async def fit_locked(
    client: AsyncClient, settings: ClickHouseSettings, table: str, schema: WriterSchema
) -> None:
    """Do it in turn with the others."""
    while True:
        async with MigrationLock(client, settings) as lock:
            try:
                shape = await read_shape(client, settings, table)
                for statement in changes(settings, table, schema, shape):
                    await lock.check()
                    log.info("%s: fields of %s: %s", table, described(schema), statement.split("\n", 1)[0])
                    await client.command(statement)
                return
            except LockLost as lost:
                log.warning("this sink was paused and lost the lock; checking again: %s", lost)


async def read_shape(client: AsyncClient, settings: ClickHouseSettings, table: str) -> TableShape:
    """Return the columns of a table and its view."""
    where = f"database = '{settings.database}'"
    found = await client.query(
        f"SELECT table, name, type, comment FROM system.columns WHERE {where} "
        f"AND table IN ('{table}', '{table}_rows') ORDER BY position"
    )
    columns = {row[1]: (row[2], row[3]) for row in found.result_rows if row[0] == f"{table}_rows"}
    shown = {row[1]: (row[2], row[3]) for row in found.result_rows if row[0] == table}
    found = await client.query(
        "SELECT name, engine_full, as_select, comment, create_table_query LIKE '% SQL SECURITY DEFINER %' "
        f"FROM system.tables WHERE {where} "
        f"AND name IN ('{table}', '{table}_rows')"
    )
    about = {row[0]: row[1:] for row in found.result_rows}
    view = View(shown, about[table][1], about[table][2], bool(about[table][3])) if table in about else None
    over = DISTRIBUTED.match(about[f"{table}_rows"][0]) if f"{table}_rows" in about else None
    return TableShape({name: kind for name, (kind, _) in columns.items()}, view, over[1] if over else "")


def changes(settings: ClickHouseSettings, table: str, schema: WriterSchema, shape: TableShape) -> list[str]:
    """Return the statements after which table and view have a column for each field; empty if they have.

    Raises `IncompatibleSchema` if a name is taken by a column of another kind.
    """
    record, fields = schema.source["name"], schema.source["fields"]
    before = {field["name"]: earlier for field, earlier in zip(fields[1:], fields, strict=False)}
    added = [column_of(record, f) for f in fields if f["name"] not in shape.columns]
    own = {f["name"] for version in released()[schema.record] for f in version.source["fields"]}
    for field in fields:
        if field["name"] not in own:
            check_free(record, field, table, shape)
    statements = []
    if added:
        lines = [
            f"ADD COLUMN IF NOT EXISTS {column.definition}"
            + (f" AFTER `{before[column.name]['name']}`" if column.name in before else "")
            for column in added
        ]
        statements.append(f"ALTER TABLE {settings.database}.{table}_rows\n    " + ",\n    ".join(lines))
    if shape.view is not None:
        unseen = [f for f in fields if f["name"] not in shape.view.columns]
        if unseen:
            known = {column.name: column for column in added}
            more = [known.get(f["name"]) or shown(record, f, shape) for f in unseen]
            statements.append(wider_view(settings.database, table, shape.view, more))
    if not shape.cluster:
        return statements
    return [each for statement in statements for each in for_cluster(statement, shape.cluster)]


def check_free(record: str, field: Mapping[str, Any], table: str, shape: TableShape) -> None:
    """Raise `IncompatibleSchema` if the name of an unreleased field is taken by something else."""
    column = column_of(record, field)
    there = shape.columns.get(column.name)
    if there is not None and LOW_CARDINALITY.sub(r"\1", there) != column.type:
        raise IncompatibleSchema(
            f"{record}.{column.name}: is {column.type} here, but {there} in {table}_rows, from another "
            "version; give the field another name"
        )
    if there is None and shape.view is not None and column.name in shape.view.columns:
        raise IncompatibleSchema(
            f"{record}.{column.name}: {table} shows something else under this name; give the field another"
        )


def shown(record: str, field: Mapping[str, Any], shape: TableShape) -> Column:
    """Return a view's column for a field that the table has."""
    return column_of(record, field)._replace(type=shape.columns[field["name"]])


def wider_view(database: str, table: str, view: View, more: list[Column]) -> str:
    """Return the statement that recreates a view with additional columns."""
    columns = {**view.columns, **{column.name: (column.type, column.comment) for column in more}}
    lines = [f"`{name}` {kind} COMMENT {quoted(comment)}" for name, (kind, comment) in columns.items()]
    source = re.search(rf"\s+FROM\s+\S*\b{table}_rows\b", view.query)
    assert source is not None, f"{database}.{table} does not read {table}_rows: {view.query}"
    names = "".join(f", `{column.name}`" for column in more)
    query = view.query[: source.start()] + names + view.query[source.start() :]
    owned = "SQL SECURITY DEFINER\n" if view.owned else ""
    return (
        f"CREATE OR REPLACE VIEW {database}.{table}\n(\n    " + ",\n    ".join(lines) + f"\n)\n{owned}"
        f"AS {query}\nCOMMENT {quoted(view.comment)}"
    )


def described(schema: WriterSchema) -> str:
    """Return a schema in words."""
    name = schema.source["name"]
    return f"{name} v{schema.version}" if schema.version else f"{name}, a version of the registry's"
