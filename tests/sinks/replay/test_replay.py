"""Replay from raw tables: what differs is found, classified and corrected, and what can't be judged stays."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from evometrics.schemas.events import EVENT_CLASSES, Event, EvolutionCompleted
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.topics import BY_RECORD, DERIVED_TOPICS, EVOLUTION_METRICS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.checksums import Checksum, checksums
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.raw.tables import RawSelection, RawTables
from evometrics.sinks.replay.compare import TableDifferences
from evometrics.sinks.replay.replay import Replay, replaying
from evometrics.sinks.replay.settings import ReplaySettings
from evometrics.sinks.replay.shadow import NotReplayable, ReplayEnded
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.streams.settings import StreamSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.generator import Load, history
from tests.support.model import SECOND, Expected, differences, expected
from tests.support.pure_stream import SOURCES, PureStream
from tests.support.sinks import Sent, rows, sent
from tests.support.tables import rows as table_rows

HOUR = 3600 * SECOND
#: So that until hours later no start of the load's is due by the clock alone, which the stream here has not.
BEGIN = (int(time.time()) // 3600 - 38) * HOUR
PARTITIONS = 3
LOAD = Load(seed=8, begin=BEGIN, agents=25, evolutions=200, nodes=2, unfinished=0.05)
AGENTS = ("agent-0003", "agent-0004")


class Stored:
    """A database as a pipeline leaves it: raw events as they came, and what the stream made of them."""

    def __init__(self, database: ClickHouseSettings) -> None:
        self.database = database
        self.offsets: dict[tuple[str, int], int] = {}
        self.stream = PureStream(PARTITIONS)
        self.rng = random.Random(1)

    def message(self, event: Event, at: int) -> Sent:
        topic, partition = BY_RECORD[event.record].name, self.stream.partition_of(event.key)
        offset = self.offsets[topic, partition] = self.offsets.get((topic, partition), -1) + 1
        return sent(event, partition, offset, at // 1000)

    async def put(self, events: Sequence[tuple[int, Event]], at_once: int = 250) -> None:
        """Store events, sent at these times, and what the stream makes of them.

        It is given them in portions that span no more event time than its lateness.
        """
        messages = [self.message(event, at) for at, event in events]
        known = len(self.stream.derived)
        for number, (_, event) in enumerate(events):
            if isinstance(event, SOURCES):
                self.stream.publish(event)
            if number % at_once == 0:
                self.stream.run(self.rng)
        self.stream.run(self.rng)
        messages += [self.message(event, events[-1][0]) for event in self.stream.derived[known:]]
        await fill(self.database, messages)

    async def put_derived(self, *events: Event) -> None:
        """Store derived rows as a sink does."""
        await fill(self.database, [self.message(event, time.time_ns() // 1000) for event in events])

    def derived(self, record: str) -> list[Any]:
        """Return the derived events of a record, as analysts would see them."""
        return [EVENT_CLASSES[record].from_record(row) for row in self.stream.rows(record).values()]


@pytest.fixture
def stored(database: ClickHouseSettings) -> Stored:
    found = Stored(database)
    asyncio.run(found.put(history(LOAD)))
    return found


def wanted(events: Sequence[Event]) -> Expected:
    return expected(events, PureStream(PARTITIONS).partition_of)


async def replayed(
    database: ClickHouseSettings, *, apply: bool = False, settle: float = 0.0, **given: Any
) -> dict[str, TableDifferences]:
    """Run a replay as the command does; return what it found."""
    stream, source = given.pop("stream", StreamSettings()), given.pop("source", None)
    unreadable = given.pop("unreadable", 0)
    meant = RawSelection(given.pop("topics", DERIVED_TOPICS), **given)
    settings = ReplaySettings(meant, settle, slice_events=1500, step_events=800)
    async with replaying(database, settings, stream, source) as replay:
        await compute(replay, unreadable)
        found = await replay.compare()
        if apply:
            await replay.apply()
            assert [each.to_apply for each in await replay.compare()] == [0] * len(found)
    assert await left_behind(database) == []
    return {each.table: each for each in found}


async def compute(replay: Replay, unreadable: int = 0) -> None:
    seen: list[int] = []
    number = replay.events
    done = await replay.compute(seen.append)
    assert number == replay.resumed + sum(seen) == done.events
    assert done.unreadable == unreadable


async def left_behind(database: ClickHouseSettings) -> list[Any]:
    return await rows(
        database,
        f"SELECT name FROM system.tables WHERE database = '{database.database}' AND name LIKE '%replay%'",
    )


async def sums(database: ClickHouseSettings) -> dict[str, Checksum]:
    return await checksums(database, DERIVED_TOPICS)


def counts(found: dict[str, TableDifferences]) -> dict[str, dict[str, int]]:
    """Return the numbers above 0."""
    return {
        table: {kind: number for kind, number in each.counts.items() if number}
        for table, each in found.items()
        if any(each.counts.values())
    }


async def test_what_the_stream_wrote_and_what_is_replayed_are_equal(stored: Stored) -> None:
    before = await sums(stored.database)
    found = await replayed(stored.database)
    assert counts(found) == {}
    assert {table: each.live for table, each in found.items()} == {t: s.rows for t, s in before.items()}
    assert all(each.live == each.replayed > 150 for each in found.values())
    assert await sums(stored.database) == before


async def test_every_kind_of_difference_is_found_shown_and_put_right(stored: Stored) -> None:
    right = await sums(stored.database)
    metrics = [e for e in stored.derived("evolution_metrics") if e.status != "abandoned"]
    deltas, rates = stored.derived("kpi_delta"), stored.derived("success_rate")
    late = next(e for e in deltas[30:] if e.previous_event_id is not None)
    await stored.put_derived(
        *(replace(e, efficiency=e.efficiency + 1.0, kpi_deltas={"n": -0.0}) for e in metrics[:40]),
        # of an id that no event leads to
        *(replace(e, event_id=new_event_id()) for e in metrics[40:45]),
        # of a time that is wrong: it has another sorting key
        replace(metrics[50], occurred_at=metrics[50].occurred_at + 1),
        *(replace(e, recommendation="panic") for e in deltas[:30]),
        replace(late, version=late.version + 1, overall_delta=-7.0),
        *(replace(e, wilson_low=-1.0) for e in rates[:20]),
        # a stream that counts duplicates
        *(replace(e, attempts=e.attempts + 1, version=e.version + 1) for e in rates[20:30]),
        *(replace(e, event_id=new_event_id(), scope_value="nobody") for e in rates[30:33]),
    )
    gone = [e.event_id for e in metrics[100:107]]
    await execute(stored.database, f"DELETE FROM evolution_metrics_rows WHERE event_id IN {tuple(gone)}")
    wrong = await sums(stored.database)
    assert all(wrong[table] != right[table] for table in right)

    found = await replayed(stored.database)
    assert counts(found) == {
        "evolution_metrics": {"added": 7, "gone": 6, "changed": 40},
        "kpi_deltas": {"changed": 31},
        "success_rates": {"gone": 3, "changed": 30},
    }
    assert await sums(stored.database) == wrong
    shown = found["evolution_metrics"].samples
    assert {kind: len(samples) for kind, samples in shown.items()} == {"added": 3, "gone": 3, "changed": 3}
    for sample in shown["changed"]:
        assert sample.live is not None and sample.replayed is not None
        assert set(sample.live) == set(sample.replayed) == {"event_id", "efficiency", "kpi_deltas"}
        assert sample.live["efficiency"] == pytest.approx(sample.replayed["efficiency"] + 1)
    assert all(each.live is None and each.replayed for each in shown["added"])
    assert all(each.replayed is None and each.live for each in shown["gone"])

    # with --apply the differences are those of the dry run, and none is left
    assert counts(await replayed(stored.database, apply=True)) == counts(found)
    assert await sums(stored.database) == right
    model = wanted([event for _, event in history(LOAD)])
    for topic in DERIVED_TOPICS:
        table = await asyncio.to_thread(
            table_rows, stored.database.url, topic.record, database=stored.database.database
        )
        assert differences(getattr(model, topic.table), table) == []


async def execute(database: ClickHouseSettings, sql: str) -> None:
    client = await open_client(database)
    await client.command(sql)
    await client.close()


async def test_missing_tables_are_filled(stored: Stored) -> None:
    right = await sums(stored.database)
    for topic in DERIVED_TOPICS:
        await execute(stored.database, f"TRUNCATE TABLE {topic.table}_rows")
    found = await replayed(stored.database, apply=True)
    assert {t: each.counts["added"] for t, each in found.items()} == {t: s.rows for t, s in right.items()}
    assert await sums(stored.database) == right


async def test_only_the_range_the_agents_and_the_tables_meant_are_compared_and_put_right(
    stored: Stored,
) -> None:
    metrics, rates = stored.derived("evolution_metrics"), stored.derived("success_rate")
    since, until = BEGIN + 20 * HOUR, BEGIN + 30 * HOUR
    await stored.put_derived(*(replace(e, generation=-5) for e in metrics))
    await stored.put_derived(*(replace(e, successes=-5) for e in rates))
    within = {e.event_id for e in metrics if since <= e.occurred_at < until}
    some = {e.event_id for e in metrics if e.agent_id in AGENTS}
    assert 30 < len(within) < len(metrics) - 50 and 5 < len(some) < 100

    both = {e.event_id for e in rates if e.agent_id in AGENTS and since <= e.occurred_at < until}
    found = await replayed(stored.database, since=since, until=until, agents=AGENTS)
    assert counts(found) == {
        "evolution_metrics": {"changed": len(within & some)},
        "success_rates": {"changed": len(both)},
    }
    found = await replayed(stored.database, agents=AGENTS, topics=(EVOLUTION_METRICS,), apply=True)
    assert counts(found) == {"evolution_metrics": {"changed": len(some)}}
    altered = await rows(
        stored.database, "SELECT toString(event_id) FROM evolution_metrics WHERE generation = -5"
    )
    assert {row[0] for row in altered} == {e.event_id for e in metrics} - some
    found = await replayed(stored.database, since=since, until=until, apply=True)
    assert found["evolution_metrics"].counts["changed"] == len(within - some)
    altered = await rows(
        stored.database, "SELECT toString(event_id) FROM evolution_metrics WHERE generation = -5"
    )
    assert {row[0] for row in altered} == {e.event_id for e in metrics} - some - within


async def test_rows_that_came_of_events_no_longer_there_are_left_alone(stored: Stored) -> None:
    """As where the raw tables keep less than the derived ones; completions less than starts, at the worst."""
    edge = (BEGIN + 12 * HOUR) // SECOND
    for table, seconds in (
        ("evolution_completed", edge),
        ("evolution_started", edge - 7200),
        ("kpi_snapshots", edge),
    ):
        await execute(stored.database, f"DELETE FROM {table}_rows WHERE occurred_at < {seconds}")
    before = await sums(stored.database)
    found = counts(await replayed(stored.database, apply=True))
    # of evolutions that are there still
    assert found.pop("kpi_snapshots").keys() == {"added"}
    assert {table: set(kinds) for table, kinds in found.items()} == {t: {"kept"} for t in before}
    assert all(kinds["kept"] > 20 for kinds in found.values())
    assert await sums(stored.database) == before

    # what can be computed from the events that are there is still corrected
    metrics = [e for e in stored.derived("evolution_metrics") if e.started_at > edge * SECOND]
    rates = [e for e in stored.derived("success_rate") if e.window_start > (edge + 3600) * SECOND]
    assert len(metrics) > 50 and len(rates) > 50
    await stored.put_derived(
        *(replace(e, generation=-1) for e in metrics), *(replace(e, successes=-1) for e in rates)
    )
    again = counts(await replayed(stored.database, apply=True))
    assert again["evolution_metrics"]["changed"] == len(metrics)
    assert again["success_rates"]["changed"] == len(rates)
    assert await sums(stored.database) == before


async def test_what_was_stored_while_the_replay_ran_is_neither_deleted_nor_taken_back(stored: Stored) -> None:
    rates = stored.derived("success_rate")
    await stored.put_derived(
        *(replace(e, attempts=e.attempts + 1, version=e.version + 1) for e in rates[:10]),
        *(replace(e, event_id=new_event_id(), scope_value="nobody") for e in rates[10:15]),
        *(replace(e, successes=-1) for e in rates[20:24]),
    )
    # stored just now: within the hour before the replay
    found = await replayed(stored.database, settle=3600, apply=True)
    assert counts(found) == {"success_rates": {"newer": 15, "changed": 4}}
    assert counts(await replayed(stored.database, settle=3600)) == {"success_rates": {"newer": 15}}


async def test_events_and_corrected_rows_that_arrive_during_a_replay_stay(stored: Stored) -> None:
    """They are stored after the events were read, and before the differences are applied."""
    more = history(replace(LOAD, seed=9, evolutions=60))
    async with replaying(stored.database, ReplaySettings(settle_seconds=0), StreamSettings()) as replay:
        await compute(replay)
        await stored.put(more)
        right = await sums(stored.database)
        found = {each.table: each for each in await replay.compare()}
        assert found["evolution_metrics"].counts["newer"] >= 50
        assert found["success_rates"].counts["newer"] >= 50
        await replay.apply()
    assert await sums(stored.database) == right


async def test_with_more_lateness_events_count_that_came_too_late_for_the_stream(stored: Stored) -> None:
    late = next(e for _, e in history(LOAD) if isinstance(e, EvolutionCompleted) and e.strategy_used)
    at = BEGIN - 30 * HOUR
    late = replace(late, event_id=new_event_id(), evolution_id="late", started_at=at, occurred_at=at)
    await stored.put([(BEGIN + 60 * HOUR, late)])
    assert counts(await replayed(stored.database)) == {}
    patient = StreamSettings(allowed_lateness_seconds=96 * 3600)
    found = counts(await replayed(stored.database, stream=patient, apply=True))
    assert set(found) == {"success_rates"} and found["success_rates"]["added"] >= 15
    model = wanted([late, *(event for _, event in history(LOAD))])
    table = await asyncio.to_thread(
        table_rows, stored.database.url, "success_rate", database=stored.database.database
    )
    assert differences(model.success_rates, table) == []


async def test_a_second_replay_ends_the_first_and_drops_all_tables(
    database: ClickHouseSettings,
) -> None:
    await Stored(database).put(history(LOAD)[:200])
    async with replaying(database, ReplaySettings(), StreamSettings()) as first:
        await compute(first)
        # those of the derived rows, and of snapshots that are made; copies of the raw rows; the run's own
        assert len(await left_behind(database)) == len(DERIVED_TOPICS) + 1 + 3 + 3
        assert counts(await replayed(database)) == {}
        with pytest.raises(ReplayEnded, match="another one has started"):
            await first.compare()


async def test_tables_that_only_lead_to_others_are_refused(database: ClickHouseSettings) -> None:
    """As on a cluster: a shadow table like the live one would lead to the live rows as well."""
    await execute(database, "RENAME TABLE success_rates_rows TO success_rates_rows_local")
    made = f"ENGINE = Merge('{database.database}', '^success_rates_rows_local$')"
    await execute(database, f"CREATE TABLE success_rates_rows AS success_rates_rows_local {made}")
    with pytest.raises(NotReplayable, match="success_rates_rows has engine Merge"):
        await replayed(database)
    assert await left_behind(database) == []


async def test_nothing_recorded_is_nothing_to_put_right(database: ClickHouseSettings) -> None:
    found = await replayed(database)
    assert counts(found) == {} and all(each.live == each.replayed == 0 for each in found.values())


async def test_a_range_is_read_from_as_far_back_as_its_windows_reach_and_no_further(
    database: ClickHouseSettings,
) -> None:
    stored, days = Stored(database), 24 * HOUR
    begin = BEGIN - 25 * days
    await stored.put(history(replace(LOAD, begin=begin, hours=20 * 24.0)), at_once=20)
    since, until = begin + 17 * days, begin + 19 * days
    rates = [e for e in stored.derived("success_rate") if since <= e.occurred_at < until]
    await stored.put_derived(*(replace(e, attempts=e.attempts + 1, version=e.version + 1) for e in rates))
    settings = ReplaySettings(RawSelection(DERIVED_TOPICS, since, until), 0)
    async with replaying(database, settings, StreamSettings()) as replay:
        assert settings.begin(StreamSettings()) > (begin + 6 * days) // 1000
        async with RawTables(database, RawSelection(settings.sources()), WireFormat()) as whole:
            everything = sum((await whole.counts(0)).values())
        await compute(replay)
        assert 0 < replay.events < everything * 0.8
        found = {each.table: each for each in await replay.compare()}
        # except for KPI deltas: an agent's snapshot before may lie any time back
        assert counts(found).pop("kpi_deltas", {"kept": 1}).keys() == {"kept"}
        del found["kpi_deltas"]
        assert counts(found) == {"success_rates": {"changed": len(rates)}} and len(rates) > 30
        await replay.apply()
    assert counts(await replayed(database)) == {}
