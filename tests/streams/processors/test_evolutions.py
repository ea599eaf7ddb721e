"""Starts and completions at the limits: of lateness, of memory, and of a message's size."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence

import pytest

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted
from evometrics.schemas.topics import BY_RECORD
from evometrics.streams.processors import evolutions
from evometrics.streams.producer import Message
from evometrics.streams.settings import StreamSettings
from tests.support.pure_stream import WIRE, PureStream

SECOND = 1_000_000
BEGIN = 1_780_000_000 * SECOND


def start(number: int, at: int = BEGIN) -> EvolutionStarted:
    return EvolutionStarted(
        event_id=f"00000000-0000-7000-8000-{number:012d}",
        agent_id="a",
        node_id="n",
        occurred_at=at,
        evolution_id=f"e{number}",
        strategy="tune",
    )


def completion(number: int, at: int = BEGIN) -> EvolutionCompleted:
    return EvolutionCompleted(
        event_id=f"00000000-0000-7000-9000-{number:012d}",
        agent_id="a",
        node_id="n",
        occurred_at=at,
        started_at=at,
        evolution_id=f"e{number}",
        status="succeeded",
        success=True,
    )


def read(stream: PureStream, *events: EvolutionStarted | EvolutionCompleted) -> None:
    for event in events:
        stream.publish(event)
        stream.run(random.Random(0))


def came(stream: PureStream, event: EvolutionStarted, millis: int) -> None:
    """Let a start arrive so many milliseconds after its own time."""
    topic = BY_RECORD[event.record].name
    stream.append(Message(topic, b"a", WIRE.encode(event)), event.occurred_at // 1000 + millis)
    stream.run(random.Random(0))


def abandoned(stream: PureStream, seconds: float) -> list[str]:
    """Return what counts as abandoned by the clock, so many seconds after the beginning."""
    messages: Sequence[Message] = stream.offline.abandon(BEGIN + round(seconds * SECOND))
    return [WIRE.decode(each.value or b"").to_record()["evolution_id"] for each in messages]


@pytest.mark.parametrize(("timeout", "late"), [(86_400, 60), (600, 60), (599, 59.9), (100, 10)])
@pytest.mark.parametrize("restart", [False, True])
def test_a_start_is_late_after_a_minute_or_a_tenth_of_the_timeout(
    timeout: int, late: float, restart: bool
) -> None:
    stream = PureStream(1, StreamSettings(abandoned_after_seconds=timeout))
    came(stream, start(1), round(late * 1000))
    came(stream, start(2), round(late * 1000) + 1)
    if restart:
        stream.restart()
    assert abandoned(stream, timeout - 0.000001) == []
    assert abandoned(stream, timeout) == ["e1"], "the other's time runs from its arrival"
    assert abandoned(stream, timeout + late + 0.000999) == []
    assert abandoned(stream, timeout + late + 0.001) == ["e2"]


def test_an_evolution_that_was_completed_is_not_abandoned_however_late_it_came() -> None:
    stream = PureStream(1, StreamSettings(abandoned_after_seconds=100))
    came(stream, start(1), 5000)
    came(stream, start(2), 50_000)
    read(stream, completion(1), completion(2))
    assert abandoned(stream, 100_000) == []


def test_by_events_an_evolution_is_abandoned_when_both_topics_have_gone_as_far() -> None:
    stream = PureStream(1, StreamSettings(abandoned_after_seconds=100))
    read(stream, start(1), start(2, BEGIN + 100 * SECOND), completion(3, BEGIN + 100 * SECOND - 1))
    assert [row["status"] for row in stream.rows("evolution_metrics").values()] == ["succeeded"]
    read(stream, completion(4, BEGIN + 100 * SECOND))
    (report,) = [r for r in stream.rows("evolution_metrics").values() if r["status"] == "abandoned"]
    assert (report["evolution_id"], report["occurred_at"]) == ("e1", BEGIN + 100 * SECOND)


def test_a_node_whose_clock_is_ahead_abandons_no_other_nodes_evolutions() -> None:
    stream = PureStream(1, StreamSettings(abandoned_after_seconds=100))
    ahead = BEGIN + 5400 * SECOND
    read(stream, start(1))
    came(stream, start(2, ahead), -5_390_000)
    read(stream, completion(2, ahead))
    assert [row["status"] for row in stream.rows("evolution_metrics").values()] == ["succeeded"]
    came(stream, start(3, ahead + 90 * SECOND), -5_390_000)
    read(stream, completion(3, ahead + 90 * SECOND))
    rows = stream.rows("evolution_metrics").values()
    assert [row["evolution_id"] for row in rows if row["status"] == "abandoned"] == ["e1"], "after its 100 s"


def test_what_comes_twice_is_a_duplicate_and_what_came_before_a_crash_is_fenced() -> None:
    stream = PureStream(1)
    read(stream, start(1), start(1), completion(1), completion(1))
    counts = [(each.applied, each.duplicates, each.fenced) for each in stream.outcomes if not_merged(each)]
    assert counts == [(1, 0, 0), (0, 1, 0), (1, 0, 0), (0, 1, 0)]
    done = len(stream.outcomes)
    stream.restart()
    for key in stream.committed:
        stream.committed[key] = 0
    stream.run(random.Random(0))
    again = [each for each in stream.outcomes[done:] if not_merged(each)]
    assert (sum(each.applied for each in again), sum(each.fenced for each in again)) == (0, 4)


def not_merged(outcome: object) -> bool:
    """Return whether an outcome is of the lane of evolutions."""
    return any(name == evolutions.EVOLUTIONS for name, _, _ in outcome.writes)  # type: ignore[attr-defined]


def test_completions_without_a_start_are_remembered_in_bounds_the_newest_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evolutions, "CLOSED_LIMIT", 2)
    stream = PureStream(1)
    read(stream, completion(1), completion(2), completion(3))
    read(stream, start(1), start(2), start(3))
    assert abandoned(stream, 10 * 86_400) == ["e1"]


def test_a_completion_that_comes_too_late_is_counted_for_its_agent_and_each_of_its_scopes() -> None:
    stream = PureStream(1, StreamSettings(allowed_lateness_seconds=100))
    read(stream, completion(1), completion(2, BEGIN + 7 * 86_400 * SECOND), completion(3))
    found = [outcome.too_late for outcome in stream.outcomes if not_merged(outcome)]
    assert found == [0, 0, 3], "agent, node and fleet"


@pytest.mark.parametrize("start_first", [False, True])
def test_a_row_that_is_too_large_with_its_starts_data_is_that_of_the_completion_alone(
    monkeypatch: pytest.MonkeyPatch, start_first: bool
) -> None:
    begun = dataclasses.replace(start(1), metadata={"note": "x" * 1000})
    events = [begun, completion(1, BEGIN + SECOND)] if start_first else [completion(1, BEGIN + SECOND), begun]

    def strategy(limit: int) -> str:
        monkeypatch.setattr(evolutions, "MAX_MESSAGE_BYTES", limit)
        stream = PureStream(1)
        read(stream, *events)  # type: ignore[arg-type]
        (row,) = stream.rows("evolution_metrics").values()
        return str(row["strategy_used"])

    stream = PureStream(1)
    read(stream, *events)  # type: ignore[arg-type]
    joined = [
        message
        for outcome in stream.outcomes
        for message in outcome.messages
        if message.topic == BY_RECORD["evolution_metrics"].name
    ][-1]
    size = len(joined.key) + len(joined.value or b"")
    assert strategy(size) == "tune"
    assert strategy(size - 1) == ""
