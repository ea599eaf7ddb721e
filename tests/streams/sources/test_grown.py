"""The partitions of keys show how many partitions a topic had when they were written."""

from __future__ import annotations

from zlib import crc32

import pytest

from evometrics.schemas.kafka.partitions import partition_of
from evometrics.streams.sources.grown import ENOUGH, grown_from

KEYS = [f"agent-{n}".encode() for n in range(60)]


def places(partitions: int, keys: list[bytes] = KEYS) -> list[tuple[bytes, int]]:
    return [(key, partition_of(key, partitions)) for key in keys]


@pytest.mark.parametrize(("before", "now"), [(6, 12), (4, 8), (6, 7), (1, 6), (2, 3)])
def test_a_topic_that_got_more_partitions_is_known_by_what_lay_in_it_before(before: int, now: int) -> None:
    assert grown_from(places(before), now) == before
    assert grown_from([*places(now), *places(before)], now) == before


def test_keys_that_lie_as_they_should_or_by_no_number_say_nothing() -> None:
    assert grown_from(places(12), 12) is None
    assert grown_from([], 12) is None
    assert grown_from([(key, crc32(key) % 12) for key in KEYS], 12) is None
    assert grown_from([*places(12), (b"stray", (partition_of(b"stray", 12) + 1) % 12)], 12) is None


def test_it_takes_a_few_keys_that_lie_elsewhere_to_tell() -> None:
    elsewhere = [(key, place) for key, place in places(6) if partition_of(key, 12) != place]
    assert grown_from(elsewhere[:ENOUGH], 12) == 6
    assert grown_from(elsewhere[: ENOUGH - 1], 12) is None
    assert grown_from(elsewhere[: ENOUGH - 1] * 2, 12) is None, "a key counts once"


def test_two_partitions_and_one_are_told_apart() -> None:
    assert grown_from(places(2), 4) == 2
    assert grown_from(places(1), 2) == 1
