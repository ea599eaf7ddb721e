"""The order in which outboxes are sent, so that what comes twice comes close to its first coming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evometrics.producers.outbox import file as outbox_file
from evometrics.producers.outbox.outbox import Outbox
from evometrics.producers.outbox.row import Row
from evometrics.producers.publisher.backlog import Backlog
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from tests.support.outboxes import until


async def write(outbox: Outbox, *keys: str, value: bytes = b"value") -> None:
    await asyncio.gather(*(outbox.append(EVOLUTION_COMPLETED.name, key, value) for key in keys))


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    outbox = Outbox(tmp_path / "ev.db", max_bytes=1e9, group=100)
    outbox.open()
    yield outbox
    await asyncio.to_thread(outbox.close)


async def leave(folder: Path, *keys: str, value: bytes = b"value") -> None:
    """Leave an outbox as a dead process does."""
    dead = Outbox(folder / "ev.db", max_bytes=1e9, group=100)
    dead.open()
    await write(dead, *keys, value=value)
    dead.close()


def keys(found: list[Row]) -> list[str]:
    return [row.key for row in found]


async def test_an_adopted_outbox_is_read_to_its_end_before_our_own(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_file, "READ_BYTES", 1000)
    await leave(tmp_path, "a", "b", "c", value=bytes(600))
    await write(outbox, "own")
    backlog = Backlog(outbox)
    assert backlog.adopt(tmp_path / "ev.db") == 3
    assert backlog.depth == 4
    assert [keys(backlog.read(10)) for _ in range(4)] == [["a", "b"], ["c"], ["own"], []]
    backlog.close()


async def test_an_outbox_adopted_later_waits_for_our_rows_that_the_broker_may_have(
    outbox: Outbox, tmp_path: Path
) -> None:
    backlog = Backlog(outbox)
    await write(outbox, "a", "b", "c", "d")
    sent = backlog.read(3)
    await leave(tmp_path, "left")
    assert backlog.adopt(tmp_path / "ev.db") == 1
    assert backlog.read(10) == [], "nothing new until the rows in hands are off the disk"
    backlog.delete(sent[:1])
    await backlog.rewind()
    again = backlog.read(10)
    assert keys(again) == ["b", "c"], "a new session begins with what the one before had read"
    backlog.delete(again)
    await until(lambda: not backlog.undeleted)
    assert keys(backlog.read(10)) == ["left"]
    assert keys(backlog.read(10)) == ["d"]
    backlog.close()
