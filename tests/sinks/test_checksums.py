"""Checksums: equal for the same rows however they were stored, different for the least difference."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from evometrics.schemas.events import DeadLetter, Event, EvolutionProgressed, KpiSnapshot
from evometrics.schemas.topics import TOPICS
from evometrics.sinks.checksums import Checksum, checksums, differing
from evometrics.sinks.clickhouse.client import ClickHouseUnavailable, open_client
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.sinks import copy_database, one_of_each, sent


@pytest.fixture
def second(database: ClickHouseSettings) -> Iterator[ClickHouseSettings]:
    """Another migrated database."""
    other = replace(database, database=f"sinks_{uuid.uuid4().hex[:12]}")
    asyncio.run(copy_database(database, other))
    yield other

    async def drop() -> None:
        client = await open_client(other, database="default")
        await client.command(f"DROP DATABASE {other.database}")
        await client.close()

    asyncio.run(drop())


async def put(database: ClickHouseSettings, events: Sequence[Event], first: int) -> None:
    await fill(database, [sent(event, number % 3, first + number) for number, event in enumerate(events)])


async def test_the_same_rows_in_another_order_from_other_offsets_and_twice_are_equal(
    database: ClickHouseSettings, second: ClickHouseSettings
) -> None:
    events = [event for number in range(5) for event in one_of_each(f"agent-{number}")]
    await put(database, events, 0)
    await put(second, events[:9], 0)
    await put(second, list(reversed(events)), 500)
    one, other = await checksums(database), await checksums(second)
    assert one == other and differing(one, other) == []
    assert set(one) == {topic.table for topic in TOPICS}
    assert all(each.rows == 5 and each.hashes > 0 for each in one.values())


async def test_the_least_difference_shows_in_its_table_alone(
    database: ClickHouseSettings, second: ClickHouseSettings
) -> None:
    events = one_of_each("agent-1")
    await put(database, events, 0)
    one = await checksums(database)

    async def of(event: Event, number: int) -> list[str]:
        client = await open_client(second)
        for topic in TOPICS:
            await client.command(f"TRUNCATE TABLE {topic.table}_rows")
        await client.close()
        await put(second, [event if e.record == event.record else e for e in events], number * 100)
        return differing(one, await checksums(second))

    progressed, snapshot, letter = events[1], events[3], events[-1]
    assert isinstance(progressed, EvolutionProgressed)
    assert isinstance(snapshot, KpiSnapshot) and isinstance(letter, DeadLetter)
    assert await of(progressed, 1) == []
    assert await of(replace(progressed, cpu_percent=-0.0), 2) == ["evolution_progressed"]
    assert await of(replace(snapshot, accuracy=None), 3) == ["kpi_snapshots"]
    assert await of(replace(snapshot, occurred_at=snapshot.occurred_at + 1), 4) == ["kpi_snapshots"]
    # who gave up on a message says nothing of the message
    assert await of(replace(letter, node_id="sink-2"), 5) == []
    assert await of(replace(letter, message_value=b""), 6) == ["dead_letters"]


async def test_empty_tables_have_no_rows_and_missing_ones_are_named(
    database: ClickHouseSettings,
) -> None:
    assert set((await checksums(database)).values()) == {Checksum(0, 0)}
    nowhere = replace(database, database="no_such_database")
    with pytest.raises(ClickHouseUnavailable, match="no_such_database"):
        await checksums(nowhere)


def test_a_missing_table_differs() -> None:
    assert differing({"a": Checksum(0, 0)}, {}) == ["a"]
