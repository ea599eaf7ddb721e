"""Applies the numbered SQL files in `migrations/`: database, tables, views, comments, TTL.

Each statement may run again without harm, and a file is recorded only after its last statement: a run
that was killed is made good by the next one, and two at once do no harm.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from importlib import resources

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.sinks.client import CLICKHOUSE_ERRORS, ClickHouseUnavailable, explain, open_client
from evometrics.sinks.settings import ClickHouseSettings

log = logging.getLogger(__name__)

FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
STATEMENT_END = re.compile(r";[ \t]*$", re.MULTILINE)
HISTORY = """CREATE TABLE IF NOT EXISTS {database}.schema_migrations
(
    number UInt32 COMMENT 'Number of the file in sinks/migrations.',
    name String COMMENT 'Its name.',
    checksum String COMMENT 'SHA-256 of its text when it was applied.',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When its last statement had run.'
)
ENGINE = ReplacingMergeTree
ORDER BY number
COMMENT 'Migrations applied to this database.'"""


class MigrationError(RuntimeError):
    """A migration can't be applied; the message names it and a way out."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file.

    Attributes:
        number: its place in the order.
        name: the words of its file name.
        sql: its text, with `{database}` where the database's name goes.
    """

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def statements(self, database: str) -> list[str]:
        """Return the statements, ready to run."""
        parts = (part.strip() for part in STATEMENT_END.split(self.sql))
        return [part.replace("{database}", database) for part in parts if part]


def migrations() -> list[Migration]:
    """Return the files that ship with the package, in order."""
    found = []
    for file in (resources.files("evometrics.sinks") / "migrations").iterdir():
        named = FILE_NAME.fullmatch(file.name)
        if named:
            found.append(Migration(int(named[1]), named[2], file.read_text(encoding="utf-8")))
    return sorted(found, key=lambda m: m.number)


def pending(known: list[Migration], applied: dict[int, str]) -> list[Migration]:
    """Return what is to be applied; `applied` holds checksums by number.

    Raises `MigrationError` where an applied file has another text now, or the database is ahead.
    """
    for migration in known:
        checksum = applied.get(migration.number, migration.checksum)
        if checksum != migration.checksum:
            raise MigrationError(
                f"migration {migration.number:04d}_{migration.name} was applied with another text: put the "
                "file back as it was and make the change in a new file"
            )
    ahead = sorted(set(applied) - {m.number for m in known})
    if ahead:
        raise MigrationError(
            f"the database has migration {ahead[-1]:04d}, newer than this evometrics: upgrade"
        )
    return [m for m in known if m.number not in applied]


async def migrate(settings: ClickHouseSettings) -> list[Migration]:
    """Bring the database to the newest level; return what was applied, in order (empty where it was there).

    Raises `ClickHouseUnavailable` or `MigrationError`.
    """
    client = await open_client(settings, database="default")
    try:
        await client.command(f"CREATE DATABASE IF NOT EXISTS {settings.database}")
        await client.command(HISTORY.replace("{database}", settings.database))
        todo = pending(migrations(), await applied_checksums(client, settings.database))
        for migration in todo:
            await apply(client, settings.database, migration)
        return todo
    except CLICKHOUSE_ERRORS as error:
        if isinstance(error, ClickHouseUnavailable):
            raise
        raise ClickHouseUnavailable(explain(settings, error)) from error
    finally:
        await client.close()


async def applied_checksums(client: AsyncClient, database: str) -> dict[int, str]:
    """Return the checksums of what the database has, by number."""
    answer = await client.query(f"SELECT number, checksum FROM {database}.schema_migrations FINAL")
    return {int(number): str(checksum) for number, checksum in answer.result_rows}


async def apply(client: AsyncClient, database: str, migration: Migration) -> None:
    """Run a migration's statements, then record it."""
    for statement in migration.statements(database):
        try:
            await client.command(statement)
        except CLICKHOUSE_ERRORS as error:
            first = next((x for x in statement.splitlines() if x and not x.startswith("--")), "")
            raise MigrationError(
                f"migration {migration.number:04d}_{migration.name} failed at `{first}`; nothing is lost, "
                f"run it again once the cause is gone ({' '.join(str(error).split())[:300]})"
            ) from error
    await client.insert(
        "schema_migrations",
        [[migration.number, migration.name, migration.checksum]],
        column_names=["number", "name", "checksum"],
        database=database,
    )
    log.info("applied migration %04d_%s", migration.number, migration.name)
