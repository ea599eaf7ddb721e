"""Whatever the order, the batches and the crashes, the derived rows are those of the plain model."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.topics import BY_RECORD
from evometrics.streams.producer import Message
from evometrics.streams.states.waiting import WAITING_BYTES, Waiting
from tests.support.generator import Load, generate
from tests.support.model import SECOND, Expected, differences, expected, made_snapshots
from tests.support.pure_stream import SOURCES, WIRE, PureStream

BEGIN = 1_780_000_000 * SECOND


def run(load: Load, seed: int, crash: float) -> tuple[Expected, PureStream]:
    rng = random.Random(seed)
    stream = PureStream(partitions=3)
    events = [event for _, event in generate(load)]
    for number, event in enumerate(events):
        if isinstance(event, SOURCES):
            stream.publish(event)
        if number % 200 == 0:
            stream.run(rng, crash)
    stream.run(rng, crash)
    return expected(events, stream.partition_of), stream


def check(wanted: Expected, stream: PureStream) -> None:
    assert differences(wanted.evolution_metrics, stream.rows("evolution_metrics")) == []
    assert differences(wanted.kpi_deltas, stream.rows("kpi_delta")) == []
    assert differences(wanted.success_rates, stream.rows("success_rate")) == []


@pytest.mark.parametrize("crash", [0.0, 0.2])
def test_kpis_of_an_evolution_that_say_so_become_snapshots_of_its_agent(crash: float) -> None:
    load = Load(seed=3, begin=BEGIN, agents=5, evolutions=80, nodes=2, snapshots=0.5)
    _, stream = run(load, 3, crash)
    events = [event for _, event in generate(load)]
    own = {event.event_id for event in events}
    topic = BY_RECORD[KpiSnapshot.record].name
    logged = [WIRE.decode(r.value) for (name, _), log in stream.logs.items() if name == topic for r in log]
    made = {event.event_id: event for event in logged if event.event_id not in own}
    assert made == {event.event_id: event for event in made_snapshots(events)}
    assert len({event.phase for event in made.values() if isinstance(event, KpiSnapshot)}) == 2 < len(made)


@pytest.mark.parametrize("seed", range(4))
def test_rows_equal_the_model_with_duplicates_disorder_and_late_events(seed: int) -> None:
    load = Load(
        seed=seed, begin=BEGIN, agents=20, evolutions=300, nodes=2, late=0.1, duplicate=0.1, unfinished=0.1
    )
    wanted, stream = run(load, seed, crash=0.0)
    assert any(r["status"] == "abandoned" for r in wanted.evolution_metrics.values())
    check(wanted, stream)


@pytest.mark.parametrize("seed", range(6))
def test_rows_equal_the_model_when_workers_crash_between_any_two_steps(seed: int) -> None:
    load = Load(seed=seed, begin=BEGIN, agents=10, evolutions=200, nodes=2, late=0.1, duplicate=0.1)
    check(*run(load, seed, crash=0.1))


def start(number: int, at: int, agent: str = "a") -> EvolutionStarted:
    return EvolutionStarted(
        event_id=f"00000000-0000-7000-8000-{number:012d}",
        agent_id=agent,
        node_id="n",
        occurred_at=at,
        evolution_id=f"e{number}",
    )


def completion(number: int, at: int, agent: str = "a") -> EvolutionCompleted:
    return EvolutionCompleted(
        event_id=f"00000000-0000-7000-9000-{number:012d}",
        agent_id=agent,
        node_id="n",
        occurred_at=at,
        started_at=at,
        evolution_id=f"e{number}",
        status="succeeded",
        success=True,
    )


def statuses(stream: PureStream) -> list[str]:
    return sorted(row["status"] for row in stream.rows("evolution_metrics").values())


def test_starts_read_far_ahead_of_completions_abandon_nothing() -> None:
    stream = PureStream(partitions=1)
    day = 86_400 * SECOND
    for number in range(10):
        stream.publish(start(number, BEGIN + number * day))
    stream.run(random.Random(0))
    for number in range(10):
        stream.publish(completion(number, BEGIN + number * day + SECOND))
    stream.run(random.Random(0))
    assert statuses(stream) == ["succeeded"] * 10


def test_an_evolution_without_completion_is_reported_once_even_after_a_restart() -> None:
    stream = PureStream(partitions=1)
    day = 86_400 * SECOND
    stream.publish(start(1, BEGIN))
    stream.run(random.Random(0))
    stream.restart()
    for number in (2, 3, 4):
        stream.publish(start(number, BEGIN + number * day))
        stream.publish(completion(number, BEGIN + number * day))
        stream.run(random.Random(0))
        stream.restart()
    reports = [e for e in stream.derived if getattr(e, "status", "") == "abandoned"]
    assert [e.to_record()["evolution_id"] for e in reports] == ["e1"]


def test_an_event_beyond_the_allowed_lateness_changes_no_final_rate() -> None:
    stream = PureStream(partitions=1)
    stream.publish(completion(1, BEGIN))
    stream.publish(completion(2, BEGIN + 5 * 86_400 * SECOND))
    stream.run(random.Random(0))
    before = stream.rows("success_rate")
    stream.publish(completion(3, BEGIN + SECOND))
    stream.run(random.Random(0))
    assert stream.rows("success_rate") == before
    assert statuses(stream) == ["succeeded"] * 3


def told_elsewhere(number: int, at: int, agent: str = "a", **more: Any) -> EvolutionCompleted:
    """A completion recorded by a process that knows nothing of the start."""
    return dataclasses.replace(completion(number, at, agent), post_kpis={"performance": 0.9}, **more)


def whole_start(number: int, at: int, agent: str = "a") -> EvolutionStarted:
    return dataclasses.replace(
        start(number, at, agent),
        evolution_type="nightly",
        strategy="tune",
        pre_kpis={"performance": 0.5},
        metadata={"of": "start", "both": "start"},
    )


@pytest.mark.parametrize("start_first", [True, False])
@pytest.mark.parametrize("restarted", [True, False])
def test_a_completion_told_elsewhere_gets_what_its_start_has_whichever_is_read_first(
    start_first: bool, restarted: bool
) -> None:
    stream = PureStream(partitions=1)
    events: list[Event] = [
        whole_start(1, BEGIN),
        told_elsewhere(1, BEGIN + 90 * SECOND, metadata={"both": "end"}),
    ]
    for event in events if start_first else reversed(events):
        stream.publish(event)
        stream.run(random.Random(0))
        if restarted:
            stream.restart()
    (row,) = stream.rows("evolution_metrics").values()
    assert row["evolution_type"] == "nightly" and row["strategy_used"] == "tune"
    assert row["started_at"] == BEGIN and row["duration_minutes"] == 1.5
    assert row["baseline_performance"] == 0.5 and row["improvement_delta"] == pytest.approx(0.4)
    assert row["metadata"] == {"of": "start", "both": "end"}
    assert row["version"] == 1
    counted = {(r["scope"], r["scope_value"]): r["attempts"] for r in stream.rows("success_rate").values()}
    assert counted == dict.fromkeys(
        [
            ("agent", "a"),
            ("node", "n"),
            ("fleet", "all"),
            ("evolution_type", "nightly"),
            ("strategy", "tune"),
        ],
        1,
    )


def test_a_completion_is_joined_with_no_other_agents_start() -> None:
    stream = PureStream(partitions=1)
    for event in (whole_start(1, BEGIN, "b"), told_elsewhere(1, BEGIN + SECOND)):
        stream.publish(event)
    stream.run(random.Random(0))
    (row,) = stream.rows("evolution_metrics").values()
    assert row["baseline_performance"] is None and row["version"] == 0


def test_what_a_completion_says_itself_is_kept_and_nothing_is_taken_that_the_start_has_not() -> None:
    stream = PureStream(partitions=1)
    done = told_elsewhere(
        1, BEGIN + SECOND, strategy_used="own", duration_seconds=7.0, pre_kpis={"performance": 0.1}
    )
    for event in (start(1, BEGIN), whole_start(2, BEGIN + SECOND), done):
        stream.publish(event)
    stream.run(random.Random(0))
    (row,) = stream.rows("evolution_metrics").values()
    assert row["strategy_used"] == "own" and row["baseline_performance"] == 0.1
    assert row["duration_minutes"] == 7 / 60 and row["started_at"] == BEGIN


def test_a_duration_between_two_clocks_that_disagree_stays_unknown() -> None:
    stream = PureStream(partitions=1)
    done = told_elsewhere(1, BEGIN, unmeasured=["duration_seconds"])
    for event in (whole_start(1, BEGIN + SECOND), done):
        stream.publish(event)
    stream.run(random.Random(0))
    (row,) = stream.rows("evolution_metrics").values()
    assert row["strategy_used"] == "tune"
    assert "duration_minutes" in row["unmeasured"] and "efficiency" in row["unmeasured"]


def test_completions_that_wait_for_a_start_take_bounded_room_and_the_newest_stay() -> None:
    stored: dict[bytes, bytes] = {}
    waiting = Waiting(stored)
    for number in range(30):
        waiting.put("a", f"e{number}", number, bytes(1024 * 1024))
        for key, value in waiting.writes().items():
            stored.pop(key, None) if value is None else stored.update({key: value})
        if number == 20:
            waiting = Waiting(stored)
    assert sum(map(len, stored.values())) <= WAITING_BYTES
    assert waiting.get("a", "e29") == (29, bytes(1024 * 1024))
    assert waiting.get("a", "e0") is None and waiting.get("b", "e29") is None


def test_rates_count_what_starts_lend_once_through_crashes() -> None:
    for seed in range(6):
        load = Load(
            seed=seed, begin=BEGIN, agents=8, evolutions=150, nodes=2, late=0.15, duplicate=0.1, elsewhere=0.6
        )
        check(*run(load, seed, crash=0.25))


def abandoned(stream: PureStream, now: int) -> list[str]:
    return [WIRE.decode(m.value).to_record()["evolution_id"] for m in stream.offline.abandon(now)]


def test_evolutions_are_reported_as_abandoned_by_the_clock_though_no_event_comes() -> None:
    stream = PureStream(partitions=1)
    for number in (1, 2, 3):
        stream.publish(start(number, BEGIN + number * SECOND))
    stream.publish(completion(2, BEGIN + 60 * SECOND))
    stream.run(random.Random(0))
    due = BEGIN + SECOND + 86_400 * SECOND
    assert abandoned(stream, due - 1) == []
    assert abandoned(stream, due) == ["e1"]
    stream.restart()
    assert abandoned(stream, due + 3600 * SECOND) == ["e3"]
    assert abandoned(stream, due + 7200 * SECOND) == []


def test_a_report_by_the_clock_is_the_one_that_events_would_have_led_to() -> None:
    day = 86_400 * SECOND
    by_clock, by_events = PureStream(partitions=1), PureStream(partitions=1)
    for stream in (by_clock, by_events):
        stream.publish(start(1, BEGIN))
        stream.run(random.Random(0))
    (reported,) = by_clock.offline.abandon(BEGIN + 3 * day)
    by_events.publish(start(2, BEGIN + 3 * day))
    by_events.publish(completion(2, BEGIN + 3 * day))
    by_events.run(random.Random(0))
    assert reported.value in [WIRE.encode(event) for event in by_events.derived]


def test_by_the_clock_an_evolutions_time_runs_from_when_its_start_came() -> None:
    stream = PureStream(partitions=1)
    came = BEGIN + 100 * 86_400 * SECOND  # a copy of history, or a node whose clock is slow
    topic = BY_RECORD["evolution_started"].name
    stream.append(Message(topic, b"a", WIRE.encode(start(1, BEGIN))), came // 1000)
    stream.run(random.Random(0))
    assert abandoned(stream, came + 86_399 * SECOND) == []
    assert abandoned(stream, came + 86_400 * SECOND) == ["e1"]


def test_whoever_owns_a_partition_knows_when_a_late_start_came() -> None:
    hour = 3600 * SECOND
    came = BEGIN + 40 * hour  # more than a day old as it comes: a backfill
    topic = BY_RECORD["evolution_started"].name

    def backfill(crash: float, seed: int) -> PureStream:
        stream = PureStream(partitions=1)
        for number in range(1, 41):
            at = BEGIN if number % 4 else came - 30 * SECOND
            stamp = (came + number * SECOND) // 1000
            stream.append(Message(topic, b"a", WIRE.encode(start(number, at))), stamp)
        stream.run(random.Random(seed), crash)
        return stream

    for seed in range(5):
        kept, moved = backfill(0.0, seed), backfill(0.4, seed)
        for passed in (hour, 23 * hour, 24 * hour + 10 * SECOND, 24 * hour + 60 * SECOND):
            moved.restart()
            assert abandoned(moved, came + passed) == abandoned(kept, came + passed)
        assert abandoned(moved, came + 100 * hour) == []
        assert len(statuses(moved)) == 0, "by events none is late"


def test_an_evolutions_second_start_decides_when_it_came() -> None:
    stream = PureStream(partitions=1)
    topic, came = BY_RECORD["evolution_started"].name, BEGIN + 40 * 3600 * SECOND
    again = dataclasses.replace(start(1, came), event_id=start(2, came).event_id)
    for event in (start(1, BEGIN), again):
        stream.append(Message(topic, b"a", WIRE.encode(event)), came // 1000)
    stream.run(random.Random(0))
    stream.restart()
    assert abandoned(stream, came + 86_400 * SECOND - 1) == []
    assert abandoned(stream, came + 86_400 * SECOND) == ["e1"]


def test_a_completion_that_comes_after_the_report_counts_as_well() -> None:
    stream = PureStream(partitions=1)
    stream.publish(start(1, BEGIN))
    stream.run(random.Random(0))
    assert abandoned(stream, BEGIN + 2 * 86_400 * SECOND) == ["e1"]
    stream.publish(completion(1, BEGIN + 3 * 86_400 * SECOND))
    stream.run(random.Random(0))
    assert statuses(stream) == ["succeeded"]
