"""How long tables keep their rows: ClickHouse's TTL, shown and changed.

A row's time is when its event happened or arrived in Kafka, whichever is later, so that history which is
imported late is kept as long as new rows. Expired rows are deleted when ClickHouse next merges their parts,
within hours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.schemas.service.settings import require
from evometrics.schemas.topics import TOPICS
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.clickhouse.cluster import for_cluster
from evometrics.sinks.settings import ClickHouseSettings

TABLES = tuple(topic.table for topic in TOPICS)
#: The table from which the hourly and daily sums are computed.
SUMMED = "evolution_metrics"
ROW_TIME = "toDateTime(greatest(occurred_at, _timestamp))"
#: The TTL in a table's definition, as ClickHouse writes it.
TTL_DAYS = re.compile(r"TTL toDateTime\(greatest\(occurred_at, _timestamp\)\) \+ toIntervalDay\((\d+)\)")
#: ClickHouse stores a row's expiry as 32 bits of seconds: until 2106.
MOST_DAYS = 20_000


@dataclass(frozen=True, slots=True)
class Retention:
    """A table's retention, and its contents.

    Attributes:
        table: its name for analysts.
        days: how long, None if forever.
        rows: rows on disk, including copies that are not merged yet.
        expired: those of them that the next merges delete.
        oldest: time of the oldest row, None if there is none.
        bytes: on the disk of the server that was asked, compressed.
    """

    table: str
    days: int | None
    rows: int
    expired: int
    oldest: datetime | None
    bytes: int


async def show(settings: ClickHouseSettings) -> list[Retention]:
    """Return each table's retention. Raises `ClickHouseUnavailable`."""
    client = await open_client(settings)
    try:
        days = await days_of(client, settings.database)
        sizes = await client.query(
            "SELECT table, sum(bytes_on_disk) FROM system.parts "
            f"WHERE active AND database = '{settings.database}' GROUP BY table"
        )
        size = {str(table): int(total) for table, total in sizes.result_rows}
        storage = {table: f"{table}_rows_local" if settings.cluster else f"{table}_rows" for table in TABLES}
        return [
            await held(client, table, days.get(name), size.get(name, 0)) for table, name in storage.items()
        ]
    finally:
        await client.close()


async def held(client: AsyncClient, table: str, days: int | None, size: int) -> Retention:
    """Return the retention and contents of one table."""
    expired = "0" if days is None else f"countIf({ROW_TIME} + INTERVAL {days} DAY <= now())"
    answer = await client.query(
        f"SELECT count(), {expired}, toUnixTimestamp(min({ROW_TIME})) FROM {table}_rows"
    )
    ((rows, gone, oldest),) = answer.result_rows
    since = datetime.fromtimestamp(int(oldest), UTC) if rows else None
    return Retention(table, days, int(rows), int(gone), since, size)


async def days_of(client: AsyncClient, database: str) -> dict[str, int]:
    """Return how many days each table with such a TTL keeps its rows, by the table's name."""
    answer = await client.query(
        f"SELECT name, create_table_query FROM system.tables WHERE database = '{database}'"
    )
    found = ((str(name), TTL_DAYS.search(str(text))) for name, text in answer.result_rows)
    return {name: int(ttl[1]) for name, ttl in found if ttl}


async def keep(settings: ClickHouseSettings, table: str, days: int) -> None:
    """Set a table's retention in days; later migrations leave it unchanged.

    Raises `SettingsError` if there is no such table or the number of days is invalid,
    `ClickHouseUnavailable`.
    """
    require(table in TABLES, "table", table, f"is not one of {', '.join(TABLES)}")
    require(0 < days <= MOST_DAYS, "days", days, f"must be from 1 to {MOST_DAYS}")
    client = await open_client(settings)
    try:
        statement = (
            f"ALTER TABLE {settings.database}.{table}_rows MODIFY TTL {ROW_TIME} + INTERVAL {days} DAY"
        )
        for each in for_cluster(statement, settings.cluster) if settings.cluster else [statement]:
            await client.command(each)
    finally:
        await client.close()
