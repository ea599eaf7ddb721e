"""What a database remembers of its migrations, and what follows from it.

A migration is noted as begun before its first statement and as applied after its last. One that is begun and
not applied was interrupted, or is under way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.sinks.migration_files import Migration
from evometrics.sinks.settings import ClickHouseSettings

STATE = (
    "state LowCardinality(String) DEFAULT 'applied' COMMENT 'applied, or begun: then applied_at is when it "
    "was begun, and checksum is empty.'"
)
#: The checksum of a begun one is empty so that a build that knows no states refuses to go on from there.
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
#: Brings a history that was made before there were states to the present form.
UPGRADE = f"ALTER TABLE {{database}}.schema_migrations ADD COLUMN IF NOT EXISTS {STATE}"

BEGUN = "begun"
APPLIED = "applied"


class MigrationError(RuntimeError):
    """A migration can't be applied; the message names it and a way out."""


class State(StrEnum):
    """How a migration stands in a database."""

    APPLIED = "applied"
    PENDING = "pending"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    CHANGED = "changed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row of the history.

    Attributes:
        number: the migration's number.
        name: its name.
        checksum: that of its text when it was applied; empty where it was only begun.
        at: when it was applied, or begun.
        begun: whether it was begun and not applied.
    """

    number: int
    name: str
    checksum: str
    at: datetime
    begun: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """What a database remembers.

    Attributes:
        recorded: the rows by number; none where there is no database.
        exists: whether there is a history.
        current: whether it has the present form.
    """

    recorded: Mapping[int, Recorded]
    exists: bool
    current: bool


@dataclass(frozen=True, slots=True)
class Status:
    """One migration, known to this build or to the database.

    Attributes:
        number: its number.
        name: its name.
        state: how it stands.
        since: when it was applied, or begun; None while it is pending.
    """

    number: int
    name: str
    state: State
    since: datetime | None


def statuses(
    known: Sequence[Migration], recorded: Mapping[int, Recorded], *, running: bool = False
) -> list[Status]:
    """Return how each migration stands, by number; `running` tells whether a run is under way."""
    files = {migration.number: migration for migration in known}
    found = []
    for number in sorted(files.keys() | recorded.keys()):
        file, row = files.get(number), recorded.get(number)
        name = file.name if file else recorded[number].name
        found.append(Status(number, name, state_of(file, row, running), row.at if row else None))
    return found


def state_of(file: Migration | None, row: Recorded | None, running: bool) -> State:
    """Return how a migration stands, from the file that this build has and the row that the database has."""
    if row is None:
        return State.PENDING
    if file is None:
        return State.UNKNOWN
    if row.begun:
        return State.RUNNING if running else State.INTERRUPTED
    return State.APPLIED if row.checksum == file.checksum else State.CHANGED


def plan(
    known: Sequence[Migration], recorded: Mapping[int, Recorded], to: int | None = None
) -> list[Migration]:
    """Return what is to be applied, in order, up to number `to`; an interrupted one is applied again.

    Raises `MigrationError` where an applied file has another text now, where the database is ahead, and
    where `to` is no migration or lies below one that is applied or begun.
    """
    found = statuses(known, recorded)
    for status in found:
        if status.state is State.CHANGED:
            raise MigrationError(
                f"migration {status.number:04d}_{status.name} was applied with another text: put the "
                "file back as it was and make the change in a new file"
            )
    ahead = [status.number for status in found if status.state is State.UNKNOWN]
    if ahead:
        raise MigrationError(
            f"the database has migration {ahead[-1]:04d}, newer than this evometrics: upgrade"
        )
    if to is not None:
        check_target(to, [migration.number for migration in known], max(recorded, default=0))
    left = {status.number for status in found if status.state is not State.APPLIED}
    return [m for m in known if m.number in left and (to is None or m.number <= to)]


def check_target(to: int, numbers: Sequence[int], reached: int) -> None:
    """Raise `MigrationError` where one can't go to a number from the highest one applied or begun."""
    if to not in numbers:
        raise MigrationError(
            f"--to {to}: there is no migration {to:04d}, they go from {min(numbers)} to {max(numbers)}"
        )
    if to < reached:
        raise MigrationError(
            f"--to {to}: the database has migration {reached:04d} already, and there is no going back; "
            f"to have an older level, restore a copy made at it, or migrate an empty database with --to {to}"
        )


def consistency(settings: ClickHouseSettings) -> dict[str, Any]:
    """Return the query settings with which an answered insert is seen by every later SELECT."""
    if not settings.cluster:
        return {"async_insert": 0}
    return {
        "async_insert": 0,
        "insert_quorum": "auto",
        "insert_quorum_parallel": 0,
        "select_sequential_consistency": 1,
    }


async def read_history(client: AsyncClient, settings: ClickHouseSettings) -> History:
    """Return what the database remembers; changes nothing.

    Raises `MigrationError` where it was made for one server and a cluster is named, or the other way round.
    """
    columns = f"database = '{settings.database}' AND table = 'schema_migrations'"
    tables = f"database = '{settings.database}' AND name = 'schema_migrations'"
    answer = await client.query(
        f"SELECT engine, (SELECT count() FROM system.columns WHERE {columns} AND name = 'state') "
        f"FROM system.tables WHERE {tables}"
    )
    if not answer.result_rows:
        return History({}, exists=False, current=False)
    ((engine, states),) = answer.result_rows
    check_kind(settings, str(engine))
    state = "state" if states else f"'{APPLIED}'"
    answer = await client.query(
        f"SELECT number, name, checksum, toUnixTimestamp64Milli(applied_at), {state} "
        f"FROM {settings.database}.schema_migrations FINAL",
        settings=consistency(settings),
    )
    rows = [
        Recorded(int(number), str(name), str(checksum), moment(int(at)), state == BEGUN)
        for number, name, checksum, at, state in answer.result_rows
    ]
    return History({row.number: row for row in rows}, exists=True, current=bool(states))


def check_kind(settings: ClickHouseSettings, engine: str) -> None:
    """Raise `MigrationError` where a history's engine is not the one that the settings would give it."""
    clustered = engine.startswith("Replicated")
    if clustered and not settings.cluster:
        raise MigrationError(
            f"database {settings.database} was made for a cluster: name it with --cluster or "
            "EVOMETRICS_CLICKHOUSE_CLUSTER"
        )
    if settings.cluster and not clustered:
        raise MigrationError(
            f"database {settings.database} was made for one server: leave --cluster {settings.cluster} out, "
            "or give --database another name and fill it by a replay"
        )


def moment(milliseconds: int) -> datetime:
    """Return Unix milliseconds as a time."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


async def record(client: AsyncClient, settings: ClickHouseSettings, migration: Migration, state: str) -> None:
    """Note a migration as `BEGUN` or `APPLIED`."""
    row = {
        "number": migration.number,
        "name": migration.name,
        "checksum": migration.checksum if state == APPLIED else "",
        "state": state,
    }
    await client.raw_insert(
        f"{settings.database}.schema_migrations",
        insert_block=json.dumps(row),
        fmt="JSONEachRow",
        settings=consistency(settings),
    )
