"""The writer alone against ClickHouse: bisecting, tokens, how an insert travels."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from evometrics.schemas.events import Event, EvolutionProgressed
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.topics import BY_RECORD
from evometrics.sinks.clickhouse.client import (
    CLICKHOUSE_ERRORS,
    ClickHouseUnavailable,
    is_away,
    is_bad_data,
    open_client,
)
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker import writer as module
from evometrics.sinks.worker.batch import Batch, InsertGroup, Partition
from evometrics.sinks.worker.writer import TableWriter
from tests.support.sinks import WIRE, Sent, common, rows, store

TOPIC = BY_RECORD["evolution_progressed"]


def progressed(**fields: object) -> Event:
    values = common("agent-1") | {"evolution_id": "e", "iteration": 1, "fitness": 0.5} | fields
    return EvolutionProgressed(**values)  # type: ignore[arg-type]


def group_of(*values: bytes) -> InsertGroup:
    batch = Batch()
    messages = [Sent(TOPIC.name, 0, i, 1_900_000_000_000, b"k", v) for i, v in enumerate(values)]
    batch.add({Partition(TOPIC.name, 0): messages}, WIRE)
    (group,) = batch.groups.values()
    return group


def writer_for(database: ClickHouseSettings) -> TableWriter:
    return TableWriter(database, Instruments(CollectorRegistry(), OF_SINK))


async def test_all_good_rows_of_a_bad_insert_go_in(database: ClickHouseSettings) -> None:
    events = [progressed() for _ in range(40)]
    values = [WIRE.encode(e) for e in events]
    values[3] = values[3][:-2]
    values[17] = values[17].replace(events[17].event_id.encode(), b"x" * 36)
    values[20] += b"\x00"
    values[39] = values[39][:10] + b"\xff" * 30
    writer = writer_for(database)
    rejected = await store(writer, group_of(*values))
    await writer.close()
    assert sorted(r.message.offset for r in rejected) == [3, 17, 20, 39] and all(r.reason for r in rejected)
    offsets = await rows(database, f"SELECT _offset FROM {TOPIC.table}_rows ORDER BY _offset")
    assert [o for (o,) in offsets] == [i for i in range(40) if i not in (3, 17, 20, 39)]


async def test_a_good_message_in_bytes_that_clickhouse_refuses_is_written_anew(
    database: ClickHouseSettings,
) -> None:
    """A number in more bytes than any needs: readers take it, ClickHouse does not."""
    values = [WIRE.encode(progressed(iteration=i)) for i in range(9)]
    values[1] = values[1].replace(b"\x02e\x02", b"\x02e\x82" + b"\x80" * 9 + b"\x00")
    writer = writer_for(database)
    assert await store(writer, group_of(*values)) == []
    await writer.close()
    found = await rows(database, f"SELECT _offset, iteration FROM {TOPIC.table}_rows ORDER BY _offset")
    assert found == [(i, i) for i in range(9)]


async def test_an_insert_tried_again_is_stored_once_and_a_part_of_it_is_another_insert(
    database: ClickHouseSettings,
) -> None:
    group = group_of(*(WIRE.encode(progressed()) for _ in range(10)))
    writer = writer_for(database)
    for _ in range(3):
        await writer.insert(group, group.rows, "one")
    assert await rows(database, f"SELECT count() FROM {TOPIC.table}_rows") == [(10,)]
    await writer.insert(group, group.rows[:5], "another")
    assert await rows(database, f"SELECT count() FROM {TOPIC.table}_rows") == [(15,)]
    assert await rows(database, f"SELECT count() FROM {TOPIC.table}") == [(10,)]
    stored = await writer.stored_events(TOPIC.table, 0, 2, 7)
    assert stored == {(row.message.offset, row.event_id) for row in group.rows[2:8]}
    await writer.close()


async def test_a_token_that_a_part_has_spent_keeps_the_whole_out_month_by_month(
    database: ClickHouseSettings,
) -> None:
    """What `recovery` rests on: a paused worker's insert comes late, a part of its rows came before."""
    march, may = 1_772_500_000_000_000, 1_777_900_000_000_000
    times = [march, march, may, may, march]
    group = group_of(*(WIRE.encode(progressed(occurred_at=at)) for at in times))
    writer = writer_for(database)
    await writer.insert(group, group.rows[:1], "planned")
    await writer.insert(group, group.rows, "planned")
    stored = await rows(database, f"SELECT _offset FROM {TOPIC.table}_rows ORDER BY _offset")
    assert stored == [(0,), (2,), (3,)]
    await writer.insert(group, group.rows[2:], "planned")
    assert await rows(database, f"SELECT count() FROM {TOPIC.table}_rows") == [(3,)]
    await writer.close()


async def test_events_of_any_time_go_into_one_insert(database: ClickHouseSettings) -> None:
    """More than a hundred months, the limit that ClickHouse sets on an insert's partitions."""
    month = 2_629_800_000_000
    values = [WIRE.encode(progressed(occurred_at=1_000_000_000_000_000 + i * month)) for i in range(150)]
    extremes = [WIRE.encode(progressed(occurred_at=at)) for at in (0, -1, 2**63 - 1, -(2**63))]
    writer = writer_for(database)
    times = [
        int(r.reason.split("occurred_at: ")[1].split()[0])
        for r in await store(writer, group_of(*values, *extremes))
    ]
    assert times == [-1, 2**63 - 1, -(2**63)]
    await writer.close()
    assert await rows(database, f"SELECT count() FROM {TOPIC.table}_rows") == [(151,)]


async def test_a_missing_table_is_no_fault_of_the_rows(database: ClickHouseSettings) -> None:
    client = await open_client(database)
    with pytest.raises(CLICKHOUSE_ERRORS) as caught:
        await client.raw_insert("no_such_table", ["a"], b"", fmt="Avro")
    assert not is_bad_data(caught.value) and not is_away(caught.value)
    await client.close()


async def test_an_unreachable_or_unmigrated_clickhouse_is_named_with_a_way_out(clickhouse: str) -> None:
    with pytest.raises(ClickHouseUnavailable, match=r"http://127\.0\.0\.1:9.*evometrics up"):
        await open_client(ClickHouseSettings(url="http://127.0.0.1:9"))
    with pytest.raises(ClickHouseUnavailable, match=r"no_such_database.*evometrics migrate"):
        await open_client(ClickHouseSettings(url=clickhouse, database="no_such_database"))


async def test_who_is_not_there_or_hangs_up_is_told_from_who_is_slow() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    found = []
    for answer in (hang_up, say_nothing, None):
        server = await asyncio.start_server(answer or hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        if answer is None:
            server.close()
        with pytest.raises(ClickHouseUnavailable) as caught:
            await open_client(ClickHouseSettings(url=f"http://127.0.0.1:{port}"), read_seconds=0.5)
        found.append(is_away(caught.value))
        server.close()
    assert found == [True, False, True]


async def test_who_is_not_there_is_asked_again_soon_and_complained_of_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [ClickHouseUnavailable("restarting")] * 9 + [TimeoutError("slow")] * 9
    for error in errors[:9]:
        error.__cause__ = ConnectionRefusedError()
    longest: list[float] = []

    async def connection(_: TableWriter) -> None: ...

    async def request(_: object) -> None:
        if errors:
            raise errors.pop(0)

    monkeypatch.setattr(TableWriter, "connection", connection)
    monkeypatch.setattr(module, "backoff", lambda _, limit: longest.append(limit) or 0.0)
    writer = writer_for(ClickHouseSettings())
    await writer.retrying("an insert", "", request)
    assert longest == [1.0] * 9 + [10.0] * 9
    assert len(caplog.records) == module.FIRST_ATTEMPTS
    assert writer.trouble is None
