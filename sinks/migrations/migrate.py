"""Applies the numbered SQL files in `migrations/`: database, tables, views, comments, TTL.

Any number of runs may start at a time, and any of them may be killed: one at a time has the lock, each
statement may run again without harm, and a run begins with the migration that the previous one did not
finish.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.sinks.clickhouse.client import CLICKHOUSE_ERRORS, ClickHouseUnavailable, explain, open_client
from evometrics.sinks.clickhouse.cluster import first_line, for_cluster
from evometrics.sinks.migrations.files import Migration, migrations
from evometrics.sinks.migrations.history import (
    APPLIED,
    BEGUN,
    HISTORY,
    UPGRADE,
    MigrationHistory,
    read_history,
    record,
)
from evometrics.sinks.migrations.lock import LOCK, LockLost, MigrationLock, is_held
from evometrics.sinks.migrations.plan import MigrationError, MigrationState, Status, plan, statuses
from evometrics.sinks.settings import ClickHouseSettings

log = logging.getLogger(__name__)

OLDEST = (24, 3)


@dataclass(frozen=True, slots=True)
class Planned:
    """A statement that a run would send.

    Attributes:
        number: its migration's number; None for the run's own tables.
        label: its migration's file name, or its purpose.
        sql: the statement.
    """

    number: int | None
    label: str
    sql: str


async def migrate(settings: ClickHouseSettings, to: int | None = None) -> list[Migration]:
    """Bring the database to migration `to` (None: the newest); return what was applied here, in order.

    Returns once the database is there, even if another run has brought it there meanwhile. Raises
    `ClickHouseUnavailable` or `MigrationError`.
    """
    known, done = migrations(), list[Migration]()
    async with connected(settings) as client:
        history = await read_history(client, settings)
        if not plan(known, history.recorded, to) and history.current:
            return []
        check_version(client.server_version or "", settings)
        for statement in own_tables(settings):
            await client.command(statement)
        while True:
            async with MigrationLock(client, settings) as lock:
                try:
                    history = await read_history(client, settings)
                    for statement in upgrades(settings, history):
                        await lock.check()
                        await client.command(statement)
                    for migration in plan(known, history.recorded, to):
                        await apply(client, settings, migration, lock)
                        done.append(migration)
                    return done
                except LockLost as lost:
                    log.warning("this run was paused and lost its lock; starting over: %s", lost)


async def planned(settings: ClickHouseSettings, to: int | None = None) -> list[Planned]:
    """Return the statements that `migrate` would send, in order; changes nothing.

    Raises what `migrate` raises.
    """
    async with connected(settings) as client:
        history = await read_history(client, settings)
    todo = plan(migrations(), history.recorded, to)
    if not todo and history.current:
        return []
    own = [*own_tables(settings), *upgrades(settings, history)]
    return [
        *(Planned(None, "the database, and the record of applied migrations", sql) for sql in own),
        *(Planned(m.number, m.label, sql) for m in todo for sql in m.statements(settings)),
    ]


async def status(settings: ClickHouseSettings) -> list[Status]:
    """Return each migration's state; changes nothing. Raises what `migrate` raises."""
    async with connected(settings) as client:
        history = await read_history(client, settings)
        found = statuses(migrations(), history.recorded)
        if any(s.state is MigrationState.INTERRUPTED for s in found) and await is_held(client, settings):
            history = await read_history(client, settings)
            found = statuses(migrations(), history.recorded, running=True)
        return found


@asynccontextmanager
async def connected(settings: ClickHouseSettings) -> AsyncIterator[AsyncClient]:
    """Yield a client that needs no database; its errors become `ClickHouseUnavailable`."""
    client = await open_client(settings, database="default")
    try:
        yield client
    except CLICKHOUSE_ERRORS as error:
        if isinstance(error, ClickHouseUnavailable):
            raise
        raise ClickHouseUnavailable(explain(settings, error)) from error
    finally:
        await client.close()


def check_version(version: str, settings: ClickHouseSettings) -> None:
    """Raise `MigrationError` if a server is too old for the statements."""
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        raise MigrationError(
            f"ClickHouse at {settings.url} is {version}: upgrade it to {OLDEST[0]}.{OLDEST[1]} or newer: it "
            "has views that read with the rights of who made them"
        )


def own_tables(settings: ClickHouseSettings) -> list[str]:
    """Return the statements that create a run's own tables."""
    made = ["CREATE DATABASE IF NOT EXISTS {database}", HISTORY, LOCK]
    statements = [text.replace("{database}", settings.database) for text in made]
    if not settings.cluster:
        return statements
    return [each for statement in statements for each in for_cluster(statement, settings.cluster)]


def upgrades(settings: ClickHouseSettings, history: MigrationHistory) -> list[str]:
    """Return the statement that upgrades an earlier build's history to the present form, if needed."""
    if history.current or not history.exists:
        return []
    return [UPGRADE.replace("{database}", settings.database)]


async def apply(
    client: AsyncClient, settings: ClickHouseSettings, migration: Migration, lock: MigrationLock
) -> None:
    """Record a migration as begun, run it, record it as applied. Raises `LockLost` or `MigrationError`."""
    statements = migration.statements(settings)
    await lock.check()
    await record(client, settings, migration, BEGUN)
    for statement in statements:
        await lock.check()
        try:
            await client.command(statement)
        except CLICKHOUSE_ERRORS as error:
            raise MigrationError(
                f"migration {migration.label} failed at `{first_line(statement)}`; nothing is lost; run it "
                f"again once the cause is fixed ({' '.join(str(error).split())[:300]})"
            ) from error
    await lock.check()
    await record(client, settings, migration, APPLIED)
    log.info("applied migration %s", migration.label)
