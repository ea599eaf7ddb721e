"""An outbox on a disk without room: what waits is sent once and deleted, what comes is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from evometrics.deploy.pipeline.topics import create_topics
from evometrics.producers import EvolutionMetricsCollector
from evometrics.producers.outbox.dead_outboxes import dead_outboxes
from evometrics.producers.outbox.marks import SPAN, SentMarks
from evometrics.producers.outbox.outbox import Outbox
from evometrics.producers.outbox.row import Row
from evometrics.producers.publisher.adopted import AdoptedSource
from evometrics.producers.publisher.backlog import OwnSource
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from tests.support.disks import fill, small_disk
from tests.support.outboxes import arrived, config, files, until

COMPLETED = EVOLUTION_COMPLETED.name
VALUE = bytes(2000)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 12) as folder:
        yield folder


def new_outbox(disk: Path) -> Outbox:
    outbox = Outbox(disk / "ev.db", max_bytes=1e9, group=100)
    outbox.open()
    return outbox


async def append(outbox: Outbox, keys: range) -> list[bool]:
    waits = [outbox.append(COMPLETED, str(key), VALUE) for key in keys]
    return list(await asyncio.gather(*(wait for wait in waits if wait is not None)))


async def recorded_until_full(outbox: Outbox) -> int:
    """Append until nothing more is taken in; return how many rows were."""
    number = 0
    while all(stored := await append(outbox, range(number, number + 50))):
        number += 50
    return number + sum(stored)


def drained(source: OwnSource | AdoptedSource) -> list[str]:
    """Read and delete everything; return the keys."""
    keys: list[str] = []
    while rows := source.read(100):
        keys += [row.key for row in rows]
        source.delete(rows)
    return keys


async def test_an_outbox_that_has_filled_its_disk_empties_and_takes_events_in_again(disk: Path) -> None:
    outbox = new_outbox(disk)
    kept = await recorded_until_full(outbox)
    assert kept > 1000 and outbox.failed
    source = OwnSource(outbox)
    assert drained(source) == [str(key) for key in range(kept)]
    await until(lambda: not outbox.undeleted)
    assert await append(outbox, range(3)) == [True] * 3
    assert drained(source) == ["0", "1", "2"]
    source.close()
    await asyncio.to_thread(outbox.close)
    assert files(disk) == []


async def test_where_another_file_takes_the_last_byte_what_is_sent_is_marked(
    disk: Path,
) -> None:
    outbox = new_outbox(disk)
    await append(outbox, range(300))
    filler = fill(disk)
    source = OwnSource(outbox)
    first = source.read(200)
    out_of_order = [*first[50:150], *first[:10]]
    source.delete(out_of_order)
    await until(lambda: not outbox.undeleted)
    source.rewind()
    left = [str(key) for key in [*range(10, 50), *range(150, 300)]]
    assert [row.key for row in source.read(1000)] == left
    assert await append(outbox, range(2)) == [False, False]
    filler.unlink()
    assert outbox.file is not None and outbox.file.marked == 110
    await until(lambda: outbox.file is not None and not outbox.file.marked)
    assert outbox.file.rows() == outbox.space.depth == 190, "deleted by itself once there was room"
    assert await append(outbox, range(300, 302)) == [True, True]
    source.rewind()
    assert drained(source) == [*left, "300", "301"]
    source.close()
    await asyncio.to_thread(outbox.close)


async def test_what_was_marked_is_not_sent_again_after_a_death_on_the_full_disk(disk: Path) -> None:
    outbox = new_outbox(disk)
    await append(outbox, range(500))
    fill(disk)
    source = OwnSource(outbox)
    source.delete(source.read(300)[10:])
    await until(lambda: not outbox.undeleted)
    source.close()
    outbox.let_go()  # as a death does
    (lock,) = dead_outboxes(disk / "ev.db")
    adopted = AdoptedSource(lock, 1)
    assert adopted.depth == 210
    assert drained(adopted) == [str(key) for key in [*range(10), *range(300, 500)]]
    assert adopted.depth == 0
    adopted.close()
    assert [path.name for path in files(disk)] == ["filler"]


async def test_a_start_without_room_sends_what_is_there_and_records_once_there_is_room(
    disk: Path, kafka: str, caplog: pytest.LogCaptureFixture
) -> None:
    await create_topics(KafkaSettings(brokers=kafka))
    before = EvolutionMetricsCollector(config(disk, node_id="no-room"))
    await before.start()
    ids = []
    while event_id := await before.record_system_event("night", {"text": "x" * 30_000}):
        ids.append(event_id)
    await before.stop()
    filler = fill(disk)
    after = EvolutionMetricsCollector(
        config(disk, node_id="no-room", brokers=kafka, stop_timeout=20, flush_interval=1)
    )
    await after.start()
    async with asyncio.timeout(60):  # none waits
        assert [await after.record_system_event("lost", number) for number in range(20)] == [None] * 20
    assert after.outbox.failed >= 20, "its own health events are lost, too"
    assert await after.drain(60)
    assert caplog.text.count("its disk is full") == 2, "once a spell: one in each life"
    filler.unlink()
    ids.append(str(await after.record_system_event("night", "over")))
    lost = after.outbox.failed
    assert f"{lost} events were not recorded meanwhile" in caplog.text
    await after.stop()
    found = [each.event.event_id for each in await arrived(kafka, "no-room")]
    assert sorted(set(ids)) == sorted(i for i in found if i in ids), "each once"
    assert files(disk) == []


async def test_on_a_small_disk_a_steady_load_loses_nothing(disk: Path) -> None:
    outbox = new_outbox(disk)
    source = OwnSource(outbox)
    for number in range(0, 20_000, 100):
        assert all(await append(outbox, range(number, number + 100)))
        assert drained(source) == [str(key) for key in range(number, number + 100)]
    source.close()
    await asyncio.to_thread(outbox.close)


def test_marks_are_read_back_and_the_place_before_serves_where_one_was_not_written_whole(
    tmp_path: Path,
) -> None:
    with (tmp_path / "lock").open("w+b") as file:
        file.write(bytes(4096))
        file.flush()
        marks = SentMarks(file.fileno())
        rows = range(1, 1000)
        marks.add([1, 2, 3, 7, 500], lambda seq: (row for row in rows if row > seq))
        marks.add([4, 900], lambda seq: (row for row in rows if row > seq))
        found = SentMarks(file.fileno())
        assert (found.upto, found.beyond, found.last) == (4, {7, 500, 900}, 900)
        newest = 512 if found.generation % 2 == 0 else 2304
        file.seek(newest + 100)
        file.write(b"\xff")
        file.flush()
        assert (SentMarks(file.fileno()).upto, SentMarks(file.fileno()).beyond) == (3, {7, 500})
        with pytest.raises(OSError, match="no room to mark"):
            found.add([5 + SPAN], lambda seq: iter([5]))


def test_rows_of_other_agents_that_were_deleted_before_do_not_hold_the_marks_up(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w+b") as file:
        marks = SentMarks(file.fileno())
        left = [20, 40, 60]
        marks.add([20], lambda seq: (row for row in left if row > seq))
        assert marks.upto == 39 and 20 in marks and 40 not in marks
        assert Row(40, "topic", "key", b"").seq not in marks
