"""Events that a clock days ahead has timed: corrected in the outbox, as far as can be known."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from evometrics.producers.outbox.dead_outboxes import dead_outboxes
from evometrics.producers.outbox.file import OutboxFile
from evometrics.producers.outbox.names import new_outbox
from evometrics.producers.outbox.row import Row, any_later, latest_time
from evometrics.producers.publisher.adopted import AdoptedSource
from evometrics.producers.publisher.broker_clock import NodeClock
from evometrics.producers.publisher.clock_repair import NOTE, ClockRepair, put_right
from evometrics.schemas.events import (
    CustomMetric,
    Event,
    EvolutionCompleted,
    EvolutionProgressed,
    EvolutionStarted,
    KpiSnapshot,
    SystemEvent,
)
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.rules.validation import validate
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.wire.framing import WireFormat

SECOND, HOUR, DAY = 10**6, 3600 * 10**6, 86_400 * 10**6
WIRE = WireFormat()
NOW = round(time.time()) * SECOND


def common(at: int) -> dict[str, object]:
    return {"event_id": new_event_id(), "agent_id": "agent-7", "node_id": "node-ä", "occurred_at": at}


def events(at: int) -> list[Event]:
    """One of each kind."""
    return [
        EvolutionStarted(**common(at), evolution_id="e", metadata={"a": "b"}),  # type: ignore[arg-type]
        EvolutionProgressed(**common(at), evolution_id="e", iteration=3, fitness=0.5),  # type: ignore[arg-type]
        EvolutionCompleted(
            **common(at), evolution_id="e", started_at=at - HOUR, duration_seconds=3600.0, status="succeeded"
        ),  # type: ignore[arg-type]
        KpiSnapshot(**common(at), accuracy=0.5),  # type: ignore[arg-type]
        SystemEvent(**common(at), event_type="note", data='{"x": 1}'),  # type: ignore[arg-type]
        CustomMetric(**common(at), name="m", kind="gauge", value=1.0),  # type: ignore[arg-type]
    ]


def row(event: Event, number: int = 1) -> Row:
    return Row(number, BY_RECORD[event.record].name, event.key, WIRE.encode(event))


@pytest.mark.parametrize("event", events(NOW + 3 * DAY), ids=lambda e: e.record)
def test_every_kind_of_event_goes_back_and_says_so_where_it_has_room(event: Event) -> None:
    found = put_right(event, 3 * DAY + 500_000)
    assert found.occurred_at == NOW - 500_000 and found.event_id == event.event_id
    validate(found, NOW)
    if isinstance(found, SystemEvent):
        assert json.loads(found.data) == {"x": 1, NOTE: 259_200.5}
    elif isinstance(found, CustomMetric):
        assert replace(found, occurred_at=event.occurred_at) == event
    else:
        assert getattr(found, "metadata")[NOTE] == "259200.5"  # noqa: B009
        assert {"a": "b"}.items() <= {**getattr(found, "metadata"), "a": "b"}.items()  # noqa: B009


def test_an_evolution_lasts_as_long_as_before_also_where_the_clock_was_set_while_it_ran() -> None:
    whole = EvolutionCompleted(
        **common(NOW + 3 * DAY), evolution_id="e", started_at=NOW + 3 * DAY - HOUR, duration_seconds=3600.0
    )  # type: ignore[arg-type]
    assert put_right(whole, 3 * DAY).started_at == NOW - HOUR  # type: ignore[attr-defined]
    begun_right = replace(whole, started_at=NOW - HOUR)
    assert put_right(begun_right, 3 * DAY).started_at == NOW - HOUR  # type: ignore[attr-defined]
    begun_otherwise = replace(whole, started_at=NOW + 5 * DAY)
    assert put_right(begun_otherwise, 3 * DAY).started_at == NOW - HOUR  # type: ignore[attr-defined]


def test_a_rows_latest_time_is_read_of_every_kind_and_rubbish_has_none() -> None:
    for event in events(NOW):
        assert latest_time(row(event)) == NOW
    late_start = replace(events(NOW)[2], started_at=NOW + DAY)
    assert latest_time(row(late_start)) == NOW + DAY
    whole = row(late_start).value
    for cut in range(len(whole)):
        assert latest_time(Row(1, BY_RECORD["evolution_completed"].name, "a", whole[:cut])) in (
            0,
            NOW,
            NOW + DAY,
        )
    for value in (b"", b"\xff" * 40, b"\x00" * 40, b"\xc3\x01" + b"\x7f" * 30):
        assert not any_later([Row(1, "t", "a", value)], 0)
    assert any_later([row(e) for e in events(NOW)], NOW - 1)
    assert not any_later([row(e) for e in events(NOW)], NOW)


def outbox(folder: Path, found: list[Event]) -> AdoptedSource:
    """What an earlier process left."""
    db_path = folder / "ev.db"
    lock = new_outbox(db_path)
    file = OutboxFile(lock.path)
    file.write([row(event, number) for number, event in enumerate(found, 1)], ())
    file.close()
    lock.close()
    (dead,) = dead_outboxes(db_path)
    return AdoptedSource(dead, 1)


def left(source: AdoptedSource) -> list[Event]:
    return [WIRE.decode(each.value) for each in source.file.read_after(0, 10_000)]


def test_of_an_earlier_process_the_last_event_was_now_and_the_others_as_long_before_as_they_were(
    tmp_path: Path,
) -> None:
    before = [replace(events(NOW)[0], occurred_at=NOW - DAY + n) for n in range(700)]
    wrong = [
        replace(event, event_id=new_event_id())
        for n in range(200)
        for event in events(NOW + 3 * DAY + n * SECOND)
    ]
    source = outbox(tmp_path, [*before, *wrong])
    clock = NodeClock(lambda: NOW / SECOND, lambda: 77.0)
    clock.heard(NOW / SECOND)
    assert ClockRepair(clock).mend(source) == len(wrong)
    found = left(source)
    assert found[:700] == before
    assert [e.event_id for e in found[700:]] == [e.event_id for e in wrong]
    assert found[-1].occurred_at == pytest.approx(NOW, abs=2)
    for one, other in zip(wrong, found[700:], strict=True):
        assert one.occurred_at - other.occurred_at == pytest.approx(3 * DAY + 199 * SECOND, abs=2)
        validate(other, NOW)
    assert ClockRepair(clock).mend(source) == 0, "what is right stays as it is"
    assert left(source) == found
    source.close()


def test_what_readers_still_accept_is_right(tmp_path: Path) -> None:
    clock = NodeClock(lambda: NOW / SECOND, lambda: 77.0)
    clock.heard(NOW / SECOND)
    limit = clock.latest()
    assert limit is not None
    started = events(NOW)[0]
    at_limit, beyond = (replace(started, occurred_at=limit + n, event_id=new_event_id()) for n in (0, 1))
    source = outbox(tmp_path, [at_limit, beyond])
    assert ClockRepair(clock).mend(source) == 1
    assert left(source)[0] == at_limit and left(source)[1].occurred_at == pytest.approx(NOW, abs=2)
    source.close()


def test_what_cannot_be_read_is_left_as_it_is_and_keeps_nothing_else_waiting(tmp_path: Path) -> None:
    good, other = (row(event, n) for n, event in enumerate(events(NOW + 2 * DAY)[:2], 1))
    unknown = Row(2, other.topic, other.key, b"\xc3\x01" + b"\x11" * 8 + other.value[10:])
    source = outbox(tmp_path, [])
    source.file.write([good, unknown], ())
    clock = NodeClock(lambda: NOW / SECOND, lambda: 77.0)
    clock.heard(NOW / SECOND)
    repair = ClockRepair(clock)
    assert repair.mend(source) == 1
    assert repair.as_it_is == {(source.number, 2)}
    first, second = source.file.read_after(0, 10)
    assert latest_time(first) == pytest.approx(NOW, abs=2) and second.value == unknown.value
    source.close()
