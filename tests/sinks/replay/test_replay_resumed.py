"""A replay that is interrupted goes on where it was, and ends as one that never was."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from evometrics.schemas.topics import DERIVED_TOPICS, EVOLUTION_METRICS
from evometrics.sinks.clickhouse.client import ClickHouseUnavailable
from evometrics.sinks.raw.tables import RawSelection
from evometrics.sinks.replay import checkpoints
from evometrics.sinks.replay.checkpoints import Checkpoints, encoded, interrupted, new_number, text
from evometrics.sinks.replay.compare import TableDifferences
from evometrics.sinks.replay.replay import Replay, replaying
from evometrics.sinks.replay.settings import ReplaySettings
from evometrics.sinks.replay.shadow import ReplayEnded, ShadowTables, versioned
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.streams.offline import Change
from evometrics.streams.settings import StreamSettings
from tests.sinks.replay import test_replay
from tests.sinks.replay.test_replay import Stored, counts, execute, left_behind, sums
from tests.support.generator import history
from tests.support.sinks import rows

STREAM = StreamSettings()
STEP = 10
LOAD = replace(test_replay.LOAD, agents=8, evolutions=60)


@pytest.fixture
def stored(database: ClickHouseSettings) -> Stored:
    found = Stored(database)
    asyncio.run(found.put(history(LOAD)))
    return found


class Killed(Exception):
    """What ends a replay in the middle."""


def settings(processes: int = 1, settle: float = 0.0, **meant: Any) -> ReplaySettings:
    selection = RawSelection(meant.pop("topics", DERIVED_TOPICS), **meant)
    return ReplaySettings(selection, settle, slice_events=2 * STEP, step_events=STEP, processes=processes)


def killed_after(steps: float, seen: list[int]) -> Callable[[int], None]:
    """Return what ends a replay after some steps; `seen`: the events of each.

    A checkpoint is begun after each two steps, and is certainly stored when the next one is begun: after five
    steps there is one.
    """

    def done(number: int) -> None:
        seen.append(number)
        if len(seen) >= steps:
            raise Killed

    return done


async def attempt(
    database: ClickHouseSettings, seen: list[int], steps: float = float("inf"), **given: Any
) -> tuple[int, dict[str, TableDifferences]]:
    """Replay until killed after some steps; return the events it began with, and what it found."""
    stream, again = given.pop("stream", STREAM), given.pop("again", False)
    began, found = -1, list[TableDifferences]()
    with suppress(Killed):
        async with replaying(database, settings(**given), stream, again=again) as replay:
            began = replay.resumed
            done = await replay.compute(killed_after(steps, seen))
            assert (done.resumed, done.events) == (began, replay.events)
            assert began + sum(seen) == done.events
            found = await replay.compare()
    return began, {each.table: each for each in found}


async def test_killed_again_and_again_it_ends_equal_and_repeats_little(stored: Stored) -> None:
    """With another number of processes each time, and the rows wrong in between."""
    metrics = stored.derived("evolution_metrics")
    await stored.put_derived(*(replace(e, generation=-1) for e in metrics[:30]))
    rng, begins, computed, found = random.Random(5), list[int](), 0, dict[str, TableDifferences]()
    while not found:
        seen: list[int] = []
        began, found = await attempt(stored.database, seen, rng.randint(3, 7), processes=rng.choice((1, 2)))
        begins.append(began)
        computed += sum(seen)
    assert len(begins) > 3 and begins == sorted(begins) and begins[-1] > 0
    assert counts(found) == {"evolution_metrics": {"changed": 30}}
    assert all(each.live == each.replayed > 50 for each in found.values())
    events = begins[-1] + sum(seen)
    # each time at most what lies between two checkpoints, one that is not stored yet, and the slice begun
    assert events <= computed <= events + (len(begins) - 1) * 6 * STEP
    assert await left_behind(stored.database) == []


async def test_what_was_computed_is_only_compared_again(stored: Stored) -> None:
    with suppress(Killed):
        async with replaying(stored.database, settings(), STREAM) as replay:
            whole = await replay.compute(lambda _: None)
            raise Killed
    right = await sums(stored.database)
    await stored.put_derived(*(replace(e, successes=-1) for e in stored.derived("success_rate")[:9]))
    async with replaying(stored.database, settings(), STREAM) as replay:
        assert replay.resumed == whole.events
        again = await replay.compute(pytest.fail)
        assert replace(again, seconds=0, cpu_seconds=0, resumed=0) == replace(whole, seconds=0, cpu_seconds=0)
        # stored since the first one began to read
        assert counts({each.table: each for each in await replay.compare()}) == {
            "success_rates": {"changed": 9}
        }
        await replay.apply()
    assert await sums(stored.database) == right and await left_behind(stored.database) == []


async def test_events_that_arrive_meanwhile_are_left_to_the_next_replay(stored: Stored) -> None:
    seen: list[int] = []
    await attempt(stored.database, seen, 7)
    await stored.put(history(replace(LOAD, seed=9, evolutions=60)))
    began, found = await attempt(stored.database, [])
    assert began > 0
    assert {kind for kinds in counts(found).values() for kind in kinds} == {"newer"}
    assert (await attempt(stored.database, []))[0] == 0


async def test_only_what_was_to_do_the_same_a_short_time_ago_goes_on(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = stored.database
    changes: tuple[dict[str, Any], ...] = (
        {"again": True},
        {"topics": (EVOLUTION_METRICS,)},
        {"agents": ("agent-0003",)},
        {"stream": StreamSettings(allowed_lateness_seconds=96 * 3600)},
        {"settle": 20 * 3600.0},
    )
    for changed in changes:
        await attempt(database, [], 5)
        began, found = await attempt(database, [], **changed)
        assert began == 0 and counts(found) == {} and await left_behind(database) == []
    await attempt(database, [], 5)
    elsewhere = StreamSettings(instance="stream-7", data="/elsewhere", session_timeout_seconds=7)
    assert (await attempt(database, [], stream=elsewhere))[0] > 0  # what changes no row
    for name, value in (("code_digest", lambda: "of the fixed program"), ("RESUMABLE_HOURS", 0)):
        await attempt(database, [], 5)
        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, name, value)
            assert (await attempt(database, []))[0] == 0


async def test_one_whose_tables_are_not_all_there_begins_again(stored: Stored) -> None:
    await attempt(stored.database, [], 7)
    (copy,) = [
        name for (name,) in await left_behind(stored.database) if name.startswith("evolution_started_replay")
    ]
    await execute(stored.database, f"DROP TABLE {copy} SYNC")
    began, found = await attempt(stored.database, [])
    assert began == 0 and counts(found) == {}


async def test_what_another_build_has_noted_is_not_read(stored: Stored) -> None:
    await attempt(stored.database, [], 5)
    (noted,) = [n for (n,) in await left_behind(stored.database) if n.endswith("_checkpoints")]
    about = '{"fingerprint": "another", "source": {}, "of a later build": 1}'
    await execute(stored.database, f"INSERT INTO {noted} (about) VALUES ('{about}')")
    assert (await attempt(stored.database, []))[0] == 0


async def test_a_checkpoint_that_could_not_be_stored_is_none(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise ClickHouseUnavailable("no space left on the device")

    monkeypatch.setattr(Checkpoints, "save", full)
    with pytest.raises(ClickHouseUnavailable, match="no space"):
        async with replaying(stored.database, settings(), STREAM) as replay:
            await replay.compute(lambda _: None)
    assert not replay.resumable and await left_behind(stored.database) == []


async def test_before_the_first_checkpoint_nothing_is_left_behind(stored: Stored) -> None:
    await attempt(stored.database, [], 1)
    assert await left_behind(stored.database) == []


async def test_a_running_one_that_is_taken_over_ends_with_a_word(stored: Stored) -> None:
    seen: list[int] = []
    async with replaying(stored.database, settings(), STREAM) as first:
        await first.compute(seen.append)
        assert (await attempt(stored.database, []))[0] == sum(seen)
        with pytest.raises(ReplayEnded, match="another one has started"):
            await first.compare()


async def test_one_that_is_taken_over_while_it_reads_ends_with_the_same_word(stored: Stored) -> None:
    async with replaying(stored.database, settings(), STREAM) as first:
        await attempt(stored.database, [], again=True)
        with pytest.raises(ReplayEnded, match="another one has started"):
            await first.compute(lambda _: None)


async def test_a_run_that_has_just_vanished_is_not_taken_over(stored: Stored) -> None:
    await attempt(stored.database, [], 5)
    async with replaying(stored.database, settings(agents=("nobody",)), STREAM) as replay:
        names = {name for (name,) in await left_behind(stored.database)}
        other = ShadowTables(replay.shadow.client, stored.database, replay.shadow.topics)
        assert not await other.take("0badc0de", [f"evolution_started_replay_0badc0de_{k}" for k in "ab"])
        assert {name for (name,) in await left_behind(stored.database)} == names


async def test_an_older_row_that_arrives_late_does_not_replace_the_newer(stored: Stored) -> None:
    """As an insert of a killed process may, when another has gone on."""
    async with replaying(stored.database, settings(), STREAM) as replay:
        await replay.compute(lambda _: None)
        name = replay.shadow.name(EVOLUTION_METRICS)
        newest = await rows(stored.database, f"SELECT max(version) FROM {name} FINAL")
        earlier = "* REPLACE (version - 1 AS version, -1 AS generation)"
        await execute(stored.database, f"INSERT INTO {name} SELECT {earlier} FROM {name} FINAL")
        assert await rows(stored.database, f"SELECT max(version) FROM {name} FINAL") == newest
        assert await rows(stored.database, f"SELECT count() FROM {name} FINAL WHERE generation = -1") == [
            (0,)
        ]


@pytest.mark.parametrize(
    ("engine", "version", "wanted"),
    [
        (
            "ReplacingMergeTree PARTITION BY x ORDER BY y",
            "r.version",
            "ReplacingMergeTree(version) PARTITION BY x ORDER BY y",
        ),
        ("ReplacingMergeTree(version) ORDER BY y", "r.version", "ReplacingMergeTree(version) ORDER BY y"),
        ("ReplacingMergeTree ORDER BY y", "toInt64(0)", "ReplacingMergeTree ORDER BY y"),
        (
            "ReplicatedReplacingMergeTree('/a', 'b') ORDER BY y",
            "r.version",
            "ReplicatedReplacingMergeTree('/a', 'b') ORDER BY y",
        ),
    ],
)
def test_the_highest_version_stays_where_rows_have_one(engine: str, version: str, wanted: str) -> None:
    assert versioned(engine, version) == wanted


async def test_states_of_a_checkpoint_that_was_never_noted_do_not_count(stored: Stored) -> None:
    """An insert of a killed process may arrive when another has gone on."""
    await attempt(stored.database, [], 9)
    async with replaying(stored.database, settings(), STREAM) as replay:
        shadow = replay.shadow
        states = await all_states(shadow, replay)
        name, partition = next((change.table, change.partition) for change in states if change.values)
        stray = Change(name, partition, dict.fromkeys(states[0].values, b"stray"))
        for part in encoded(new_number(), [stray]):
            columns = ("checkpoint", "name", "partition", "key", "gone", "value")
            await shadow.raw_insert(shadow.states, columns, part, "RowBinary", {})
        assert await all_states(shadow, replay) == states
        await replay.compute(lambda _: None)
        assert counts({each.table: each for each in await replay.compare()}) == {}


async def all_states(shadow: ShadowTables, replay: Replay) -> list[Change]:
    found = [change async for change in Checkpoints(shadow).states(replay.recomputation.progress)]
    return sorted(found, key=lambda change: change[:2])


async def test_of_a_key_the_last_value_counts_and_none_deletes_it(database: ClickHouseSettings) -> None:
    async with replaying(database, settings(), STREAM) as replay:
        shadow, progress = replay.shadow, replay.recomputation.progress
        kept = Checkpoints(shadow)
        long = bytes(range(256)) * 700
        for values in ({b"a": b"1", b"\xff\x00": b"2"}, {b"a": None, b"b": long}, {b"c": b""}):
            progress = replace(progress, chain=[*progress.chain, new_number()])
            await kept.save(progress, [Change("table", -1, values)])
        found = [change async for change in kept.states(progress)]
        assert found == [Change("table", -1, {b"\xff\x00": b"2", b"b": long, b"c": b""})]
        earlier = replace(progress, chain=progress.chain[:1])
        (before,) = [change async for change in kept.states(earlier)]
        assert before.values == {b"a": b"1", b"\xff\x00": b"2"}
        left = await interrupted(shadow, progress.fingerprint)
        assert left is not None and (left.run, left.progress) == (shadow.run, progress)
        assert await rows(database, f"SELECT count() FROM {shadow.states}") == [(5,)]


def test_a_build_is_known_by_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by its path, nor by a compiler: hosts may differ in both."""
    digests = []
    for number, (source, compiled) in enumerate([("x = 1", b"gcc 12"), ("x = 1", b""), ("x = 2", b"gcc 12")]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "formula.py").write_text(source)
        (folder / "formula.so").write_bytes(compiled)
        package = ModuleType("package")
        package.__path__ = [str(folder)]
        monkeypatch.setattr(checkpoints, "CODE", (package,))
        digests.append(checkpoints.code_digest.__wrapped__())
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 300_000])
def test_texts_are_as_row_binary_has_them(length: int) -> None:
    """A length is an unsigned LEB128: seven bits a byte, the lowest first."""
    value = b"x" * length
    found = text(value)
    prefix = found[: len(found) - length]
    assert found[len(prefix) :] == value
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(prefix)) == length
    assert [byte >> 7 for byte in prefix] == [1] * (len(prefix) - 1) + [0]
