"""Damaged outboxes: all others are sent whole, the damaged one as far as it can be read, the loss is said."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from evometrics.producers.outbox.dead_outboxes import dead_outboxes
from evometrics.producers.outbox.file import PAGE_BYTES, OutboxFile
from evometrics.producers.outbox.names import new_outbox
from evometrics.producers.outbox.outbox import Outbox
from evometrics.producers.outbox.rebuilding import Damage, rebuild
from evometrics.producers.outbox.row import Row
from evometrics.producers.publisher.backlog import Backlog
from evometrics.schemas.topics import EVOLUTION_COMPLETED
from tests.support.outboxes import files, until

TOPIC = EVOLUTION_COMPLETED.name
ROWS = 600
ENDINGS = ("", "-wal", "-shm", ".lock")


def value(key: str) -> bytes:
    """Return what belongs to a key and to no other; now and then too large for a page."""
    chance = random.Random(key)
    return chance.randbytes(40_000 if chance.random() < 0.02 else 700)


async def fill(outbox: Outbox, name: str, count: int, first: int = 0) -> None:
    names = [f"{name}-{number}" for number in range(first, first + count)]
    for start in range(0, count, 20):
        await asyncio.gather(*(outbox.append(TOPIC, key, value(key)) for key in names[start : start + 20]))


async def left(folder: Path, number: int, name: str) -> Path:
    """Leave an outbox as a process does that is killed: half of it in the file, half in the log."""
    outbox = Outbox(folder / "elsewhere" / "ev.db", max_bytes=1e9, group=20)
    outbox.open()
    await fill(outbox, name, ROWS // 2)
    with sqlite3.connect(outbox.path) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    await fill(outbox, name, ROWS // 2, ROWS // 2)
    path = folder / f"ev-{number}-0.db"
    for ending in ENDINGS:
        shutil.copy2(f"{outbox.path}{ending}", f"{path}{ending}")
    outbox.close()
    shutil.rmtree(folder / "elsewhere")
    return path


def change(path: Path, at: int, data: bytes | None = None) -> None:
    """Write over part of a file; without `data` one byte is flipped."""
    content = bytearray(path.read_bytes())
    data = data if data is not None else bytes((content[at] ^ 0xFF,))
    content[at : at + len(data)] = data
    path.write_bytes(content)


def remove(path: Path, ending: str) -> None:
    Path(f"{path}{ending}").unlink()


def content_of(outbox: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (Path(f"{outbox}{ending}") for ending in ENDINGS)}


def wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def inverted(path: Path, page: int) -> None:
    start = page * PAGE_BYTES
    content = path.read_bytes()[start : start + PAGE_BYTES]
    change(path, start, bytes(byte ^ 0xFF for byte in content))


def cut(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


#: What is done to an outbox, and how many of its 600 events must be read at least; None = all of them.
DAMAGES: dict[str, tuple[Callable[[Path], object], int | None]] = {
    "a byte of a value": (lambda p: change(p, 6 * PAGE_BYTES + 9_000), 598),
    "a byte of the header": (lambda p: change(p, 5), None),
    "a byte of the mark": (lambda p: change(p, 69), None),
    "a byte of a page's header": (lambda p: change(p, 6 * PAGE_BYTES), None),
    "a byte of the list of cells": (lambda p: change(p, 6 * PAGE_BYTES + 9), 598),
    "a page inverted": (lambda p: inverted(p, 6), 560),
    "a page zeroed": (lambda p: change(p, 6 * PAGE_BYTES, bytes(PAGE_BYTES)), 560),
    "the first page zeroed": (lambda p: change(p, 0, bytes(PAGE_BYTES)), None),
    "the map of pages zeroed": (lambda p: change(p, PAGE_BYTES, bytes(PAGE_BYTES)), None),
    "the root zeroed": (lambda p: change(p, 2 * PAGE_BYTES, bytes(PAGE_BYTES)), None),
    "the end cut": (lambda p: cut(p, 0.9), 540),
    "half cut": (lambda p: cut(p, 0.5), 400),
    "a few bytes cut": (lambda p: os.truncate(p, p.stat().st_size - 100), 570),
    "empty": (lambda p: p.write_bytes(b""), 280),
    "rubbish": (lambda p: p.write_bytes(b"what is this? " * 5000), 280),
    "gone": (lambda p: p.unlink(), 280),
    "the log gone": (lambda p: wal(p).unlink(), 300),
    "the log cut": (lambda p: cut(wal(p), 0.5), 380),
    "a byte of the log": (lambda p: change(wal(p), wal(p).stat().st_size // 2), 570),
    "a byte of the log's header": (lambda p: change(wal(p), 17), None),
    "the log's middle zeroed": (lambda p: change(wal(p), wal(p).stat().st_size // 2, bytes(20_000)), 540),
    "the index of the log gone": (lambda p: Path(f"{p}-shm").unlink(), None),
}


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    outbox = Outbox(tmp_path / "ev.db", max_bytes=1e9, group=20)
    outbox.open()
    yield outbox
    await asyncio.to_thread(outbox.close)


async def sent(backlog: Backlog) -> list[Row]:
    """Send all, as the publisher does: read, have it acknowledged, delete."""
    found: list[Row] = []
    while items := backlog.read(100):
        found += items
        backlog.delete(items)
    await until(lambda: not backlog.undeleted)
    return found


def of(rows: list[Row], name: str) -> list[str]:
    return [row.key for row in rows if row.key.startswith(f"{name}-")]


@pytest.mark.parametrize("kind", DAMAGES)
async def test_whatever_is_damaged_all_others_go_out_whole_and_the_loss_is_counted(
    outbox: Outbox, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage, least = DAMAGES[kind]
    await left(tmp_path, 4_000_001, "before")
    path = await left(tmp_path, 4_000_002, "damaged")
    await left(tmp_path, 4_000_003, "after")
    damage(path)
    await fill(outbox, "own", 100)
    told: list[Damage] = []
    backlog = Backlog(outbox, told.append)
    backlog.adopt(tmp_path / "ev.db")
    rows = await sent(backlog)
    for name, count in (("before", ROWS), ("after", ROWS), ("own", 100)):
        assert of(rows, name) == [f"{name}-{number}" for number in range(count)]
    assert all(row.value == value(row.key) for row in rows), "nothing is sent that was not recorded"
    got = of(rows, "damaged")
    assert got == sorted(set(got), key=lambda key: int(key.split("-")[1])), "in order, once each"
    assert len(got) >= (ROWS if least is None else least)
    lost = ROWS - len(got)
    if lost or told:
        (report,) = told
        assert (report.read, report.lost) == (len(got), lost)
        report.say()
        assert f"{len(got)} of {ROWS} events could be read and are sent; {lost} are lost" in caplog.text
        assert bool(report.aside and report.aside.exists()) == (kind != "gone")
    backlog.close()
    names = {p.name for p in files(tmp_path) if ".damaged" not in p.name}
    assert names == {f"{outbox.path.name}{ending}" for ending in ENDINGS}


async def test_a_folder_in_the_place_of_an_outbox_is_left_alone_and_named_with_what_was_there(
    outbox: Outbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = await left(tmp_path, 4_000_001, "damaged")
    await left(tmp_path, 4_000_002, "whole")
    folder_instead(path)
    backlog = Backlog(outbox)
    for _ in range(3):
        backlog.adopt(tmp_path / "ev.db")
    assert len(of(await sent(backlog), "whole")) == ROWS
    assert path.is_dir()
    assert caplog.text.count(str(path)) == 1
    assert "there was an outbox of 600 events" in caplog.text
    backlog.close()


async def test_without_its_lock_an_outbox_is_adopted_but_its_loss_has_no_number(
    outbox: Outbox, tmp_path: Path
) -> None:
    path = await left(tmp_path, 4_000_001, "damaged")
    remove(path, ".lock")
    change(path, 5 * PAGE_BYTES, bytes(4 * PAGE_BYTES))
    told: list[Damage] = []
    backlog = Backlog(outbox, told.append)
    backlog.adopt(tmp_path / "ev.db")
    assert 480 <= len(of(await sent(backlog), "damaged")) < 600
    assert [report.lost for report in told] == [None]
    backlog.close()


async def test_a_page_of_the_living_outbox_that_is_damaged_costs_its_own_rows_alone(
    outbox: Outbox, tmp_path: Path
) -> None:
    await left(tmp_path, 4_000_001, "whole")
    outbox.handover.drop()
    told: list[Damage] = []
    outbox.on_damage = told.append
    backlog = Backlog(outbox)
    await fill(outbox, "own", 400)
    with sqlite3.connect(outbox.path) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    outbox.handover.drop()
    change(outbox.path, 6 * PAGE_BYTES, bytes(PAGE_BYTES))
    backlog.adopt(tmp_path / "ev.db")
    rows = await sent(backlog)
    if not told:
        await until(lambda: told)
    await fill(outbox, "new", 50)
    rows += await sent(backlog)
    assert len(of(rows, "whole")) == ROWS
    assert len(of(rows, "new")) == 50
    assert told[0].lost == 400 - told[0].read
    assert of(rows, "own") == sorted(set(of(rows, "own")), key=lambda key: int(key.split("-")[1]))
    assert 340 <= len(of(rows, "own")) < 400
    assert outbox.space.depth == 0
    backlog.close()


@pytest.mark.parametrize("what", ["the folder", "the file", "the log", "the lock", "replaced"])
async def test_files_removed_under_a_living_outbox_are_noticed_before_the_next_event_and_cost_none(
    tmp_path: Path, what: str
) -> None:
    folder = tmp_path / "outboxes"
    outbox = Outbox(folder / "ev.db", max_bytes=1e9, group=20)
    outbox.open()
    told: list[Damage] = []
    outbox.on_damage = told.append
    await fill(outbox, "own", 200)
    path = outbox.path
    if what == "the folder":
        shutil.rmtree(folder)
    elif what == "replaced":
        path.unlink()
        path.write_text("mine")
    else:
        remove(path, {"the file": "", "the log": "-wal", "the lock": ".lock"}[what])
    await fill(outbox, "new", 1)
    assert [(report.read, report.lost) for report in told] == [(200, 0)]
    with sqlite3.connect(outbox.path) as other:
        keys = [key for (key,) in other.execute("SELECT key FROM outbox ORDER BY seq")]
    assert keys == [f"own-{number}" for number in range(200)] + ["new-0"]
    assert what != "replaced" or path.read_text() == "mine"
    backlog = Backlog(outbox)
    assert len(await sent(backlog)) == 201
    backlog.close()
    outbox.close()
    assert [p for p in files(folder) if p != path] == []


async def test_rows_deleted_long_ago_do_not_come_back_with_a_rebuilt_outbox(tmp_path: Path) -> None:
    lock = new_outbox(tmp_path / "ev.db")
    file = OutboxFile(lock.path, lock.tally)
    for start in range(1, 2001, 100):
        file.write([Row(n, TOPIC, f"k-{n}", value(f"k-{n}")) for n in range(start, start + 100)], ())
    file.delete(range(1, 1501))
    file.delete(range(1600, 1700))
    assert file.connection.execute("PRAGMA freelist_count").fetchone()[0] > 10
    file.close()
    damage = rebuild(lock, lock.tally.held, "a test", None)
    assert (damage.read, damage.lost) == (400, 0)
    lock.close(delete=True)


async def test_random_damage_never_makes_an_event_of_what_was_none(
    outbox: Outbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    source = await left(tmp_path, 4_000_001, "damaged")
    kept = content_of(source)
    chance = random.Random(7)
    reports: list[Damage] = []
    backlog = Backlog(outbox, reports.append)
    for _ in range(20):
        for path, content in kept.items():
            path.write_bytes(content)
        victim = chance.choice([source, wal(source)])
        for _ in range(chance.choice([1, 5, 50])):
            change(victim, chance.randrange(victim.stat().st_size))
        reports.clear()
        backlog.adopt(tmp_path / "ev.db")
        rows = await sent(backlog)
        assert all(row.value == value(row.key) for row in rows)
        assert len({row.key for row in rows}) == len(rows)
        assert len(rows) + sum(report.lost or 0 for report in reports) == ROWS
    backlog.close()
    assert list(dead_outboxes(tmp_path / "ev.db")) == []
