"""What was just committed reaches the publisher in memory, in order, and the file has all of it as well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evometrics.producers.outbox import handover
from evometrics.producers.outbox.file import LAST_SEQ, OutboxFile
from evometrics.producers.outbox.outbox import Outbox
from evometrics.producers.outbox.row import ROW_OVERHEAD, Row
from evometrics.producers.publisher.backlog import OwnSource
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_PROGRESSED
from tests.support.outboxes import until

PROGRESS, COMPLETED = EVOLUTION_PROGRESSED.name, EVOLUTION_COMPLETED.name
VALUE = b"x" * (1000 - ROW_OVERHEAD)


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    outbox = Outbox(tmp_path / "ev.db", max_bytes=20_000, group=100)
    outbox.open()
    yield outbox
    await asyncio.to_thread(outbox.close)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """After which seq the file was read, each time it was."""
    reads: list[int] = []
    original = OutboxFile.read_after

    def read_after(self: OutboxFile, seq: int, limit: int, upto: int = LAST_SEQ) -> list[Row]:
        reads.append(seq)
        return original(self, seq, limit, upto)

    monkeypatch.setattr(OutboxFile, "read_after", read_after)
    return reads


async def append(outbox: Outbox, *keys: str, topic: str = COMPLETED) -> None:
    await asyncio.gather(*(outbox.append(topic, key, VALUE) for key in keys))


def keys(rows: list[Row]) -> list[str]:
    return [row.key for row in rows]


async def test_rows_are_handed_over_without_reading_the_file(outbox: Outbox, reads: list[int]) -> None:
    source = OwnSource(outbox)
    await append(outbox, "a", "b", "c")
    assert keys(source.read(2)) == ["a", "b"]
    await append(outbox, "d")
    assert keys(source.read(10)) == ["c", "d"]
    assert source.read(10) == []
    assert reads == []
    assert keys(source.file.read_after(0, 10)) == ["a", "b", "c", "d"], "they are on disk as well"
    source.close()


async def test_a_publisher_that_has_fallen_behind_reads_the_file_until_it_has_caught_up(
    outbox: Outbox, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "MOST_BYTES", 2000)
    source = OwnSource(outbox)
    for key in "abcde":
        await append(outbox, key)
    assert keys(source.read(10)) == ["a", "b"]
    await append(outbox, "f")
    assert keys(source.read(2)) == ["c", "d"]
    assert keys(source.read(10)) == ["e", "f"]
    assert reads == [2, 4]
    await append(outbox, "g")
    assert keys(source.read(10)) == ["g"]
    assert reads == [2, 4]
    source.close()


async def test_a_new_session_reads_what_is_not_deleted_from_the_file_again(outbox: Outbox) -> None:
    source = OwnSource(outbox)
    await append(outbox, "a", "b", "c")
    sent = source.read(2)
    source.delete(sent[:1])
    await until(lambda: not outbox.undeleted)
    source.rewind()
    assert keys(source.read(10)) == ["b", "c"]
    await append(outbox, "d")
    assert keys(source.read(10)) == ["d"]
    source.close()


async def test_after_all_is_sent_and_deleted_a_new_session_finds_what_is_new(
    outbox: Outbox, reads: list[int]
) -> None:
    source = OwnSource(outbox)
    await append(outbox, "a")
    source.delete(source.read(10))
    await until(lambda: not outbox.undeleted)
    source.rewind()
    assert source.read(10) == []
    await append(outbox, "b")
    assert keys(source.read(10)) == ["b"]
    assert reads == [0], "once to see that nothing is left"
    source.close()


async def test_progress_that_waits_to_be_handed_over_can_be_shed_what_was_taken_can_not(
    outbox: Outbox,
) -> None:
    source = OwnSource(outbox)
    await append(outbox, *(f"p{n}" for n in range(10)), topic=PROGRESS)
    taken = source.read(4)
    await append(outbox, *(f"c{n}" for n in range(12)))
    left = keys(source.file.read_after(0, 100))
    assert left[:4] == keys(taken) == ["p0", "p1", "p2", "p3"]
    assert outbox.space.shed[PROGRESS] == 22 - len(left) > 0
    assert keys(source.read(100)) == left[4:], "what is shed is not sent"
    source.close()
