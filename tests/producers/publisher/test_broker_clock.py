"""A node's clock beside the broker's: how far it is off, what was off, and saying so in words."""

from __future__ import annotations

import time

import pytest
from aiokafka import AIOKafkaProducer

from evometrics.producers.publisher.broker_clock import MOST_AHEAD, NodeClock, broker_time, in_words
from evometrics.schemas.kafka.client_fixes import never_create

DAY = 86_400.0
TRUE = 1_900_000_000.0


class Node:
    """A node whose clock can be set, on a machine that has run for a while."""

    def __init__(self, ahead: float) -> None:
        self.up, self.ahead = 5000.0, ahead
        self.clock = NodeClock(lambda: TRUE + self.up + self.ahead, lambda: self.up)

    def true(self) -> float:
        return TRUE + self.up


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3 * DAY + 2 * 3600 + 59, "3 days 2 h"),
        (DAY, "1 day"),
        (5400, "1 h 30 min"),
        (61.2, "1 min 1 s"),
        (-7, "7 s"),
        (0.2, "0 s"),
    ],
)
def test_a_span_of_time_is_said_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_nothing_is_wrong_and_no_time_too_late_before_the_broker_has_told_its_time() -> None:
    clock = Node(ahead=9 * DAY).clock
    assert (clock.now(), clock.ahead, clock.wrong, clock.latest()) == (None, 0.0, False, None)
    assert clock.known_shift(round(TRUE * 1e6)) is None


def test_the_brokers_time_goes_on_whatever_this_nodes_clock_is_set_to() -> None:
    node = Node(ahead=2 * DAY)
    node.clock.heard(node.true())
    assert node.clock.wrong and node.clock.ahead == pytest.approx(2 * DAY)
    node.up += 3600
    assert node.clock.now() == pytest.approx(node.true())
    assert not node.clock.was_set()
    node.ahead = 20 * 3600.0
    assert node.clock.was_set() and not node.clock.was_set()
    assert not node.clock.wrong and node.clock.now() == pytest.approx(node.true())
    assert node.clock.latest() == round((node.true() + MOST_AHEAD) * 1e6)


def test_what_this_nodes_clock_was_ahead_is_known_to_the_moment_once_it_is_set() -> None:
    node = Node(ahead=3 * DAY)
    recorded = [node.true() + node.ahead]
    for ahead in (40 * DAY, 0.0):
        node.up += 600
        node.ahead = ahead
        assert node.clock.was_set()
        recorded.append(node.true() + node.ahead)
    node.clock.heard(node.true() - 0.004)
    first, second, right = (node.clock.known_shift(round(at * 1e6)) for at in recorded)
    assert first is not None and second is not None
    assert first / 1e6 == pytest.approx(3 * DAY, abs=0.01)
    assert second / 1e6 == pytest.approx(40 * DAY, abs=0.01)
    # the least that may have been: nobody asks for the shift of a time that is not too late
    assert right == first
    assert node.clock.known_shift(round((node.true() + 50 * DAY) * 1e6)) is None


async def test_a_broker_tells_its_time_and_nothing_is_written_for_that(kafka: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    never_create(producer.client)
    await producer.start()
    try:
        before = time.time()
        told = await broker_time(producer.client)
        assert told is not None and before - 0.1 <= told <= time.time() + 0.1
    finally:
        await producer.stop()
