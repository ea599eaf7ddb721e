"""A checksum for each table, over the columns that analysts see, to compare two databases.

It is the number of rows and the sum of their hashes, so the order of rows does not matter, and a duplicate
row shows. Storage columns (offsets, when a row was inserted) are left out, and of dead letters the process
that gave up on the message: when tables are rebuilt it is another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evometrics.schemas.topics import DEAD_LETTERS, TOPICS, Topic
from evometrics.schemas.wire.catalog import newest
from evometrics.sinks.clickhouse.client import CLICKHOUSE_ERRORS, ClickHouseUnavailable, explain, open_client
from evometrics.sinks.settings import ClickHouseSettings


class Checksum(NamedTuple):
    """A table's checksum: equal if tables hold the same rows.

    Attributes:
        hashes: the sum of the rows' 64-bit hashes, modulo 2^64; 0 for an empty table.
    """

    rows: int
    hashes: int


def checksum_query(topic: Topic) -> str:
    """Return the query for a table's checksum."""
    names = [field["name"] for field in newest(topic.record).source["fields"]]
    if topic is DEAD_LETTERS:
        names.remove("node_id")
    # a tuple: the hash of a null value would itself be null
    return f"SELECT count(), sum(cityHash64(tuple({', '.join(names)}))) FROM {topic.table}"


async def checksums(settings: ClickHouseSettings, topics: Sequence[Topic] = TOPICS) -> dict[str, Checksum]:
    """Return the checksum of each topic's table, by the table's name.

    Raises `ClickHouseUnavailable`, naming address and way out, if ClickHouse does not answer or a table is
    missing.
    """
    client = await open_client(settings)
    try:
        found = {}
        for topic in topics:
            ((rows, hashes),) = (await client.query(checksum_query(topic))).result_rows
            found[topic.table] = Checksum(int(rows), int(hashes))
        return found
    except CLICKHOUSE_ERRORS as error:
        raise ClickHouseUnavailable(explain(settings, error)) from error
    finally:
        await client.close()


def differing(one: dict[str, Checksum], other: dict[str, Checksum]) -> list[str]:
    """Return the names of the tables whose contents differ."""
    return sorted(table for table in one.keys() | other.keys() if one.get(table) != other.get(table))
