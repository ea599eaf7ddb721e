"""Dead letters as an operator handles them: found by source, shown with their bytes, sent again once."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from evometrics.schemas.events import DeadLetter, Event, now_micros
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.letters.letter import dead_letter
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import BY_RECORD, DEAD_LETTERS, SYSTEM_EVENTS
from evometrics.sinks.letters.letters import (
    DeadMessage,
    Letters,
    LetterTotals,
    NoSuchLetter,
    Selection,
    parts,
)
from evometrics.sinks.letters.retry import Retrier, RetryFailed, RetryPlan, plan_retry, recorded
from evometrics.sinks.letters.show import dump, reading
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.streams.offline import record_of
from tests.support.sinks import (
    WIRE,
    Kafka,
    common,
    one_of_each,
    rows,
    run_statements,
    running,
    until_stored,
)

SNAPSHOTS = BY_RECORD["kpi_snapshot"]
GOOD = one_of_each("agent-1")[3]


def letter(offset: int, stage: str = "sink", event: Event = GOOD, **fields: object) -> DeadLetter:
    """Return a letter of an event that was good all the time, as after a fix of the reader."""
    values: dict[str, object] = {
        **common("agent-1"),
        "source_topic": BY_RECORD[event.record].name,
        "source_partition": 1,
        "source_offset": offset,
        "stage": stage,
        "reason": f"unknown to the {stage}",
        "message_key": event.key.encode(),
        "message_value": WIRE.encode(event),
    }
    return DeadLetter(**(values | fields))  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def stored(broker: Kafka, database: ClickHouseSettings, *letters: DeadLetter) -> AsyncIterator[Letters]:
    """A running sink that has stored these letters."""
    await broker.send(list(letters))
    async with running(broker, database), Letters(database) as found:
        await until_stored(database, DEAD_LETTERS.table, len(letters))
        yield found


async def planned(letters: Letters, selection: Selection) -> RetryPlan:
    """Return what a retry does with all that is meant."""
    whole = RetryPlan([], [])
    async for plan in plan_retry(letters, WIRE, selection):
        whole.send.extend(plan.send)
        whole.left.extend(plan.left)
    return whole


async def test_letters_of_one_message_are_one_and_every_condition_narrows(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    hour = 3600 * 1_000_000
    made = [
        letter(5, "sink"),
        letter(5, "stream"),
        letter(6, "sink", occurred_at=now_micros() - 2 * hour),
        letter(7, "stream", one_of_each("agent-2")[2], message_key=None),
        letter(8, "sink", message_value=None, occurred_at=now_micros() - 3 * hour),
    ]
    async with stored(broker, database, *made) as letters:

        async def offsets(**conditions: object) -> list[int]:
            found = await letters.find(Selection(**conditions))  # type: ignore[arg-type]
            return [message.source.offset for message in found]

        found = {message.source.offset: message for message in await letters.find(Selection())}
        assert {n: [x.stage for x in m.letters] for n, m in found.items()} == {
            5: ["sink", "stream"],
            6: ["sink"],
            7: ["stream"],
            8: ["sink"],
        }
        assert found[5].letters[1].reason == "unknown to the stream"
        assert (found[8].size, found[5].size) == (None, len(WIRE.encode(GOOD)))
        assert all(message.state == "open" for message in found.values())
        assert (await offsets())[2:] == [6, 8]
        assert sorted(await offsets(stage="stream")) == [5, 7]
        assert await offsets(topic=made[3].source_topic) == [7]
        assert sorted(await offsets(since=now_micros() - hour)) == [5, 7]
        assert await offsets(event_ids=(made[1].event_id,)) == [5]
        with pytest.raises(NoSuchLetter, match=r"00000000-.* `evometrics dead-letters list` shows"):
            await offsets(event_ids=(made[0].event_id, "00000000-0000-0000-0000-000000000000"))
        content = {
            m.source.offset: b async for page in letters.messages(list(found.values())) for m, b in page
        }
    assert content[5] == (GOOD.key.encode(), WIRE.encode(GOOD))
    assert content[7].key is None and content[8].value is None


async def test_what_is_sent_again_is_stored_once_and_not_sent_again_by_accident(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    bad = dataclasses.replace(GOOD, agent_id="", event_id=new_event_id())
    made = [letter(5, "sink"), letter(5, "stream"), letter(6, event=bad)]
    everything = Selection(open_only=False)
    async with stored(broker, database, *made) as letters:
        plan = await planned(letters, everything)
        assert [m.source.offset for m, _ in plan.send] == [5]
        assert [(m.source.offset, why) for m, why in plan.left] == [
            (
                6,
                "is still bad: kpi_snapshot.agent_id: is empty; give the agent's id; "
                "to send it anyway, give its id",
            )
        ]
        for again in (everything, Selection(event_ids=(made[1].event_id,))):
            began = now_micros()
            plan = await planned(letters, again)
            async with Retrier(broker.settings, WIRE, "test") as retrier:
                await retrier.send(plan.send)
                assert retrier.sent == 1
            assert await recorded(letters, [message for message, _ in plan.send], began)
            await until_stored(database, SNAPSHOTS.table, 1)
            left = (await planned(letters, everything)).left
            assert any("was already sent again at" in why and m.source.offset == 5 for m, why in left)
        (message,) = await letters.find(Selection(event_ids=(made[0].event_id,)))
        assert message.state == "retried" and len(message.retries) == 2
        assert [m.source.offset for m in await letters.find(Selection(open_only=True))] == [6]
        places = [(r.partition, r.offset) for r in message.retries]
    ids = await rows(database, f"SELECT toString(event_id) FROM {SNAPSHOTS.table}")
    assert ids == [(GOOD.event_id,)]
    assert set(await rows(database, f"SELECT _partition, _offset FROM {SNAPSHOTS.table}_rows")) <= set(places)
    assert (await rows(database, f"SELECT count() FROM {SYSTEM_EVENTS.table}"))[0][0] == 2
    assert (await rows(database, f"SELECT count() FROM {DEAD_LETTERS.table}_rows"))[0][0] == 3


async def test_any_number_of_letters_is_listed_and_planned_in_pages_each_once(
    broker: Kafka, database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evometrics.sinks.letters.letters.LISTED_MESSAGES", 4)
    now = now_micros()
    # some at the same moment, of two topics and partitions: the order is told by more than the time
    made = [
        letter(n % 9, event=one_of_each("a")[2 + n % 2], source_partition=n % 3, occurred_at=now - n // 5)
        for n in range(23)
    ]
    sources = {(x.source_topic, x.source_partition, x.source_offset) for x in made}
    async with stored(broker, database, *made) as letters:
        for selection in (Selection(), Selection(topic=SNAPSHOTS.name), Selection(since=now - 2)):
            newest = [m async for page in letters.pages(selection) for m in page]
            oldest = [m async for page in letters.pages(selection, oldest_first=True) for m in page]
            assert newest == oldest[::-1] and len(set(map(id, newest))) == len({m.source for m in newest})
            assert [m.at for m in newest] == sorted((m.at for m in newest), reverse=True)
            assert await letters.count(selection) == LetterTotals(len(newest), 0)
            cut = [len(page) async for page in letters.pages(selection, 6)]
            assert cut == [4, 2]
        assert {tuple(m.source) for m in await letters.find(Selection())} == sources
        plans = [plan async for plan in plan_retry(letters, WIRE, Selection())]
        assert len(plans) > len(sources) // 5 and not any(plan.left for plan in plans)
        assert sorted(tuple(m.source) for plan in plans for m, _ in plan.send) == sorted(sources)


def made_of_numbers(database: ClickHouseSettings, number: int, size: int) -> str:
    """Return the statement that stores that number of letters, with values of a size."""
    return (
        f"INSERT INTO {database.database}.dead_letters_rows (event_id, occurred_at, source_topic, "
        "source_partition, source_offset, stage, reason, message_value, _partition, _offset, _timestamp) "
        "SELECT generateUUIDv4(), "
        "now64(6) - toIntervalSecond(number), 'evometrics.kpi.snapshots', 0, number, 'sink', 'bad', "
        f"repeat('x', {size}), 0, number, now64(3) FROM numbers({number})"
    )


def watched(letters: Letters, figure: str) -> list[int]:
    """Return a list that takes in what each query reads from now on, as ClickHouse counts it."""
    assert letters.client is not None
    read: list[int] = []
    ask, stream = letters.client.query, letters.client.query_row_block_stream

    async def asked(*args: Any, **given: Any) -> Any:
        found = await ask(*args, **given)
        read.append(int(found.summary[figure]))
        return found

    async def streamed(*args: Any, **given: Any) -> Any:
        found = await stream(*args, **given)
        read.append(int(found.source.summary[figure]))  # type: ignore[union-attr]
        return found

    letters.client.query = asked  # type: ignore[method-assign]
    letters.client.query_row_block_stream = streamed  # type: ignore[method-assign]
    return read


async def test_a_list_reads_no_bytes_of_the_letters_it_does_not_show(database: ClickHouseSettings) -> None:
    """200 MB of letters: what ClickHouse reads for the 50 newest of them is a small part of that."""
    await run_statements(database, [made_of_numbers(database, 20_000, 10_000)])
    async with Letters(database) as letters:
        read = watched(letters, "read_bytes")
        (page,) = [page async for page in letters.pages(Selection(), 50)]
        assert len(page) == 50 and {m.size for m in page} == {10_000}
        assert await letters.count(Selection()) == (20_000, 0)
    assert len(read) == 3 and min(read) > 0 and sum(read) < 60_000_000, read


async def test_a_page_reads_its_part_of_the_letters_however_many_there_are(
    database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 40,000 are looked through once; each of 20 pages reads the two granules it lies in at most."""
    monkeypatch.setattr("evometrics.sinks.letters.letters.LISTED_MESSAGES", 2000)
    await run_statements(database, [made_of_numbers(database, 40_000, 10)])
    async with Letters(database) as letters:
        read = watched(letters, "read_rows")
        offsets = [m.source.offset async for page in letters.pages(Selection()) for m in page]
    assert offsets == list(range(40_000))
    assert len(read) == 21 and 0 < max(read[1:]) <= 2 * 8192, read


async def test_what_becomes_a_dead_letter_during_a_retry_is_not_sent_by_it(
    database: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a message that is sent again and is still bad would be sent again without end."""
    monkeypatch.setattr("evometrics.sinks.letters.letters.LISTED_MESSAGES", 2)
    await run_statements(database, [made_of_numbers(database, 5, 10)])
    seen = 0
    async with Letters(database) as letters:
        async for plan in plan_retry(letters, WIRE, Selection()):
            more = made_of_numbers(database, 9, 10).replace("snapshots', 0", "snapshots', 1")
            await run_statements(database, [more])
            seen += len(plan.send) + len(plan.left)
    assert seen == 5


async def test_a_message_without_a_key_goes_to_its_old_partition_and_one_named_by_id_goes_whatever_it_is(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    made = [letter(1, message_key=None), letter(2, message_value=b"rubbish", reason="unknown framing")]
    async with stored(broker, database, *made) as letters:
        ids = tuple(m.event_id for m in made)
        plan = await planned(letters, Selection(event_ids=ids))
        assert len(plan.send) == 2 and not plan.left
        async with Retrier(broker.settings, WIRE, "test") as retrier:
            await retrier.send(plan.send)
        await until_stored(database, SNAPSHOTS.table, 1)
        await until_stored(database, DEAD_LETTERS.table, 3)
        found = await letters.find(Selection(event_ids=ids))
        assert {m.source.offset: m.retries[0].partition for m in found}[1] == 1
        retried = {r.offset for m in found for r in m.retries}
        (again,) = [m for m in await letters.find(Selection()) if m not in found]
        assert again.source.offset in retried and again.state == "open"


async def test_a_message_that_was_cut_says_so_and_stays(broker: Kafka, database: ClickHouseSettings) -> None:
    message = record_of(SNAPSHOTS.name, 1, 9, b"agent-1", b"\xc3\x01" + bytes(1_999_998), 1)
    made = dead_letter(message, "sink", "unknown schema", "n", room=450_007)
    assert made.reason == "unknown schema (the first 450000 of its 2000000 bytes are kept here)"
    async with stored(broker, database, made) as letters:
        plan = await planned(letters, Selection(event_ids=(made.event_id,)))
    ((message, why),) = plan.left
    assert not plan.send and message.whole_size == 2_000_000
    assert "only 450000 of its 2000000 bytes" in why and f"{SNAPSHOTS.name}[1] offset 9" in why


async def test_a_broker_that_is_away_is_named() -> None:
    with pytest.raises(RetryFailed, match=r"127\.0\.0\.1:9: start it"):
        async with Retrier(KafkaSettings(brokers="127.0.0.1:9"), WIRE, "test"):
            pass


def test_messages_are_read_in_pages_that_fit_into_memory() -> None:
    def sized(size: int | None) -> DeadMessage:
        return DeadMessage((), "", 0, size, (), ())  # type: ignore[arg-type]

    many = [sized(100) for _ in range(4900)]
    assert [len(page) for page in parts(many)] == [2000, 2000, 900]
    large = [sized(None), *(sized(3_000_000) for _ in range(5)), sized(20_000_000), sized(1)]
    assert [len(page) for page in parts(large)] == [3, 2, 1, 1, 1]
    assert [m for page in parts(large) for m in page] == large


def test_a_value_is_read_as_far_as_it_goes() -> None:
    value = WIRE.encode(GOOD)
    whole = reading(WIRE, value)
    assert whole.schema == "kpi_snapshot v3" and whole.fields == GOOD.to_record()
    assert (whole.read_bytes, whole.problem) == (len(value), None)
    assert reading(WIRE, value + b"abc").problem == "3 trailing bytes"
    broken = reading(WIRE, value[:60])
    assert list(broken.fields) == ["event_id", "agent_id"] and (broken.problem or "").startswith("node_id")
    unknown = reading(WIRE, b"\xc3\x01" + bytes(8)).problem or ""
    assert unknown.startswith("unknown schema fingerprint 0000000000000000") and "upgrade" in unknown
    assert reading(WIRE, None).problem == "the message has no value"


def test_a_dump_shows_place_bytes_and_text() -> None:
    assert list(dump(b"0123456789abcdef\x00z", 100)) == [
        "00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef",
        "00000010  00 7a                                            .z",
    ]
    assert list(dump(bytes(40), 16))[-1] == "... 24 more bytes; --json prints all of them"
