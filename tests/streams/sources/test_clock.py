"""The broker's time as a worker knows it: never ahead of it, whatever the worker's own clock says."""

from __future__ import annotations

from aiokafka.structs import ConsumerRecord

from evometrics.streams.sources.clock import BrokerClock, HistoryClock

SECOND = 1_000_000


class Monotonic:
    """A clock that a test moves."""

    seconds = 5000.0

    def __call__(self) -> float:
        return self.seconds


def record(stamp: int, kind: int) -> ConsumerRecord:
    return ConsumerRecord("t", 0, 0, stamp, kind, b"k", b"v", None, 1, 1, ())


def test_time_is_unknown_until_the_broker_has_stamped_something() -> None:
    assert BrokerClock().now() is None


def test_time_is_the_brokers_last_stamp_and_what_has_passed_since() -> None:
    passed = Monotonic()
    clock = BrokerClock(passed)
    clock.stamped(1_780_000_000_000)
    passed.seconds += 90
    assert clock.now() == 1_780_000_090 * SECOND
    clock.stamped(1_780_000_089_000)  # the monotonic clock was too fast
    assert clock.now() == 1_780_000_089 * SECOND


def test_what_the_broker_has_stamped_came_then_and_what_its_sender_has_not_before_now() -> None:
    clock = BrokerClock(Monotonic())
    old = 1_700_000_000_000
    assert clock.arrived(record(old, 0)) == old * 1000, "nothing better is known"
    clock.stamped(1_780_000_000_000)
    assert clock.arrived(record(old, 1)) == old * 1000
    assert clock.arrived(record(old, 0)) == 1_780_000_000 * SECOND


def test_in_a_recomputed_history_everything_came_when_kafka_says_that_it_did() -> None:
    clock = HistoryClock(Monotonic())
    clock.stamped(1_780_000_000_000)
    for kind in (0, 1):
        assert clock.arrived(record(1_700_000_000_001, kind)) == 1_700_000_000_001_000
