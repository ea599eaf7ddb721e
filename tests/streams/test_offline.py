"""The stream offline: in batches of any size, from one log or many, the rows of the plain model."""

from __future__ import annotations

import random
from typing import Any

import pytest

from evometrics.schemas.events import Event, EvolutionCompleted
from evometrics.schemas.kafka.partitions import partition_of
from evometrics.schemas.topics import BY_RECORD
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.offline import OfflineStream, record_of
from evometrics.streams.processors.evolutions import EvolutionProcessor
from evometrics.streams.producer import MessageTooLarge
from evometrics.streams.settings import StreamSettings
from tests.support.generator import Load, history
from tests.support.model import SECOND, differences, expected
from tests.support.pure_stream import SOURCES

WIRE = WireFormat()
LOAD = Load(seed=4, begin=1_780_000_000 * SECOND, agents=20, evolutions=300, nodes=3, unfinished=0.05)
PARTITIONS = 3


def unique() -> list[Event]:
    """Return the events that the stream reads, each once, in the order in which they were sent."""
    events = {event.event_id: event for _, event in history(LOAD) if isinstance(event, SOURCES)}
    return list(events.values())


def place(agent: str) -> int:
    return partition_of(agent.encode(), PARTITIONS)


def fed(stream: OfflineStream, events: list[Event], batch: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the rows by record and id, as analysts would see them."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for first in range(0, len(events), batch):
        records = [
            record_of(
                BY_RECORD[event.record].name,
                place(event.key),
                0,
                event.key.encode(),
                WIRE.encode(event),
                event.occurred_at // 1000,
            )
            for event in events[first : first + batch]
        ]
        for message in stream.feed(records):
            event = WIRE.decode(message.value)
            rows = found.setdefault(event.record, {})
            row, known = event.to_record(), rows.get(event.event_id)
            if known is None or row.get("version", 0) >= known.get("version", 0):
                rows[event.event_id] = row
    return found


@pytest.mark.parametrize("batch", [7, 150, 1000])
def test_rows_are_the_models_whatever_a_batch_holds(batch: int) -> None:
    stream, wanted = OfflineStream(StreamSettings(), WIRE), expected(unique(), place)
    found = fed(stream, unique(), batch)
    for topic_record in ("evolution_metrics", "kpi_delta", "success_rate"):
        model = getattr(wanted, BY_RECORD[topic_record].table)
        assert len(model) > 250
        assert differences(model, found[topic_record]) == []
    assert stream.unreadable == 0


def test_states_survive_what_is_kept_in_memory_besides_them() -> None:
    stream, events = OfflineStream(StreamSettings(), WIRE), unique()
    middle = len(events) // 2
    found = fed(stream, events[:middle], 200)
    stream.restart()
    for record, rows in fed(stream, events[middle:], 200).items():
        found[record] |= rows
    wanted = expected(events, place)
    assert differences(wanted.evolution_metrics, found["evolution_metrics"]) == []
    assert differences(wanted.kpi_deltas, found["kpi_delta"]) == []


def test_an_event_that_can_not_be_computed_with_is_left_out_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = unique()
    bad = random.Random(1).choice([e for e in events if isinstance(e, EvolutionCompleted)])
    original = EvolutionProcessor.complete

    def complete(self: EvolutionProcessor, item: Any, event: EvolutionCompleted, *rest: Any) -> bool:
        if event.event_id == bad.event_id:
            raise MessageTooLarge("the test's")
        return original(self, item, event, *rest)

    monkeypatch.setattr(EvolutionProcessor, "complete", complete)
    stream = OfflineStream(StreamSettings(), WIRE)
    found = fed(stream, events, 300)
    assert stream.unreadable == 1
    wanted = expected([e for e in events if e is not bad], place)
    wanted_rates = wanted.success_rates
    assert differences(wanted_rates, found["success_rate"]) == []


def test_a_fault_of_ours_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: Any) -> bool:
        raise ArithmeticError("the build's")

    monkeypatch.setattr(EvolutionProcessor, "complete", wrong)
    with pytest.raises(ArithmeticError, match="the build's"):
        fed(OfflineStream(StreamSettings(), WIRE), unique(), 300)


def test_a_message_that_is_no_event_is_counted_and_a_topic_it_does_not_read_is_refused() -> None:
    stream = OfflineStream(StreamSettings(), WIRE)
    topic = BY_RECORD["evolution_completed"].name
    assert stream.feed([record_of(topic, 0, 0, b"a", b"rubbish", 0)]) == []
    assert stream.unreadable == 1
    with pytest.raises(KeyError, match="reads no topic other"):
        stream.feed([record_of("other", 0, 0, b"a", b"", 0)])
