"""A database's record of its migrations.

A migration is recorded as begun before its first statement and as applied after its last. One that is begun
and not applied was interrupted, or is in progress.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError

from evometrics.schemas.service.backoff import SOON_SECONDS, backoff
from evometrics.sinks.clickhouse.client import sequential
from evometrics.sinks.migrations.files import Migration
from evometrics.sinks.migrations.plan import MigrationError, Recorded
from evometrics.sinks.settings import ClickHouseSettings

STATE = (
    "state LowCardinality(String) DEFAULT 'applied' COMMENT 'applied, or begun: then applied_at is when it "
    "was begun, and checksum is empty.'"
)
#: The checksum of a begun one is empty so that a build without states refuses to continue from there.
HISTORY = f"""CREATE TABLE IF NOT EXISTS {{database}}.schema_migrations
(
    number UInt32 COMMENT 'Number of the file in sinks/migrations.',
    name String COMMENT 'Its name.',
    checksum String COMMENT 'SHA-256 of its text when it was applied.',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When its last statement had run.',
    {STATE}
)
ENGINE = ReplacingMergeTree
ORDER BY number
COMMENT 'Migrations applied to this database.'"""
#: Upgrades a history that was made before there were states.
UPGRADE = f"ALTER TABLE {{database}}.schema_migrations ADD COLUMN IF NOT EXISTS {STATE}"

BEGUN = "begun"
APPLIED = "applied"

#: Errors that a request with the settings of `consistency` may meet while another one is spreading through a
#: cluster (src/Common/ErrorCodes.cpp). Everything written with these settings may safely be written twice.
DISAGREEMENTS = frozenset(
    {
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        289,  # REPLICA_IS_NOT_IN_QUORUM
        319,  # UNKNOWN_STATUS_OF_INSERT
    }
)
AGREE_SECONDS = 60.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MigrationHistory:
    """The contents of a database's history.

    Attributes:
        recorded: the rows by number; empty if there is no database.
        exists: whether there is a history.
        current: whether it has the present form.
    """

    recorded: Mapping[int, Recorded]
    exists: bool
    current: bool


async def agreed(request: Callable[[], Awaitable[T]]) -> T:
    """Return a request's answer, retrying for a while if a cluster's replicas don't agree yet."""
    deadline = time.monotonic() + AGREE_SECONDS
    attempt = 0
    while True:
        try:
            return await request()
        except DatabaseError as error:
            if error.code not in DISAGREEMENTS or time.monotonic() > deadline:
                raise
            attempt += 1
            await asyncio.sleep(backoff(attempt, SOON_SECONDS))


def consistency(settings: ClickHouseSettings) -> dict[str, Any]:
    """Return the settings with which every later SELECT with those of `sequential` sees an insert.

    Tables of ClickHouse Cloud need none for that; a cluster's replicas have to agree on the insert.
    """
    if not settings.cluster:
        return {"async_insert": 0}
    return {"async_insert": 0, "insert_quorum": "auto", "insert_quorum_parallel": 0}


async def read_history(client: AsyncClient, settings: ClickHouseSettings) -> MigrationHistory:
    """Return the database's history; changes nothing.

    Raises `MigrationError` if it was made for one server and a cluster is named, or the other way round.
    """
    columns = f"database = '{settings.database}' AND table = 'schema_migrations'"
    tables = f"database = '{settings.database}' AND name = 'schema_migrations'"
    answer = await client.query(
        f"SELECT engine, (SELECT count() FROM system.columns WHERE {columns} AND name = 'state') "
        f"FROM system.tables WHERE {tables}"
    )
    if not answer.result_rows:
        return MigrationHistory({}, exists=False, current=False)
    ((engine, states),) = answer.result_rows
    check_kind(settings, str(engine))
    state = "state" if states else f"'{APPLIED}'"
    sql = (
        f"SELECT number, name, checksum, toUnixTimestamp64Milli(applied_at), {state} "
        f"FROM {settings.database}.schema_migrations FINAL"
    )
    answer = await agreed(lambda: client.query(sql, settings=sequential(client)))
    rows = [
        Recorded(int(number), str(name), str(checksum), moment(int(at)), state == BEGUN)
        for number, name, checksum, at, state in answer.result_rows
    ]
    return MigrationHistory({row.number: row for row in rows}, exists=True, current=bool(states))


def check_kind(settings: ClickHouseSettings, engine: str) -> None:
    """Raise `MigrationError` if a history's engine is not the one that the settings would give it."""
    clustered = engine.startswith("Replicated")
    if clustered and not settings.cluster:
        raise MigrationError(
            f"database {settings.database} was created on a cluster: name it with --cluster or "
            "EVOMETRICS_CLICKHOUSE_CLUSTER"
        )
    if settings.cluster and not clustered:
        raise MigrationError(
            f"database {settings.database} was created on a single server: omit --cluster "
            f"{settings.cluster}, or give another --database and fill it by a replay"
        )


def moment(milliseconds: int) -> datetime:
    """Return Unix milliseconds as a time."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


async def record(client: AsyncClient, settings: ClickHouseSettings, migration: Migration, state: str) -> None:
    """Record a migration as `BEGUN` or `APPLIED`."""
    row = {
        "number": migration.number,
        "name": migration.name,
        "checksum": migration.checksum if state == APPLIED else "",
        "state": state,
    }
    await agreed(
        lambda: client.raw_insert(
            f"{settings.database}.schema_migrations",
            insert_block=json.dumps(row),
            fmt="JSONEachRow",
            settings=consistency(settings),
        )
    )
