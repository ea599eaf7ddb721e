"""What the stream says of records that Kafka deleted before it read them."""

from __future__ import annotations

from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from evometrics.schemas.metrics import OF_STREAMS, OFFSETS_GONE, Instruments
from evometrics.streams.changelog.losses import STANDING_LOOKS, Losses

PLACE = TopicPartition("t", 3)


def test_records_are_counted_once_whoever_finds_that_they_are_gone() -> None:
    registry = CollectorRegistry()
    losses = Losses(Instruments(registry, OF_STREAMS))

    def gone() -> float | None:
        return registry.get_sample_value(OFFSETS_GONE.name, {"topic": "t"})

    for _ in range(STANDING_LOOKS - 1):
        losses.observe({PLACE: 10}, {PLACE: 40})
    losses.observe({PLACE: 12}, {PLACE: 40})  # what had been fetched is still being computed
    assert gone() is None and not list(losses.notes())
    for _ in range(2 * STANDING_LOOKS):
        losses.observe({PLACE: 12}, {PLACE: 40})
    assert gone() == 28
    losses.report(PLACE, 12, 45)  # the next batch begins later still
    assert gone() == 33
    (note,) = losses.notes()
    assert "t[3] offsets 12 to 44: 33 records" in note and "evometrics replay" in note
    losses.begin()
    losses.report(PLACE, 0, 2)  # of a topic that was recreated
    assert gone() == 35
