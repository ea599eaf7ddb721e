"""Whatever the order, the batches and the crashes, the derived rows are those of the plain model."""

from __future__ import annotations

import random

import pytest

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted
from tests.generator import Load, generate
from tests.model import SECOND, Expected, differences, expected
from tests.streams.pure_stream import SOURCES, PureStream

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


@pytest.mark.parametrize("seed", range(4))
def test_rows_equal_the_model_with_duplicates_disorder_and_late_events(seed: int) -> None:
    load = Load(seed=seed, begin=BEGIN, agents=20, evolutions=300, nodes=2, late=0.1, duplicate=0.1)
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
