"""Places in topics that are deleted and made anew only ever grow."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition

from evometrics.streams.offline import record_of
from evometrics.streams.states.incarnations import Incarnation, Places, present


@pytest.mark.parametrize(
    ("kept", "there", "number"),
    [
        (None, "a", 0),  # a version that knew no ids has written the states, or nobody has
        (Incarnation(0, "a"), "a", 0),
        (Incarnation(0, "a"), "b", 1),
        (Incarnation(4, "d"), "e", 5),
        (Incarnation(4, "d"), "", 4),  # a broker that gives no ids
        (Incarnation(0, ""), "a", 0),
    ],
)
def test_a_topic_with_another_id_is_the_next_one(kept: Incarnation | None, there: str, number: int) -> None:
    now = present(kept.encode() if kept else None, there)
    assert now.number == number
    assert Incarnation.decode(now.encode()) == now
    assert now.topic_id == (there or "d")
    assert present(now.encode(), there) == now


def test_every_place_of_a_topic_made_anew_lies_behind_all_of_the_one_before() -> None:
    places = Places()
    partition = TopicPartition("t", 1)
    found = []
    for number in range(3):
        places.begin(partition, number)
        found += [places.of(record_of("t", 1, offset, b"", b"", 0)) for offset in (0, 1, 10**12)]
    assert found == sorted(found) and len(set(found)) == 9
    assert found[:3] == [0, 1, 10**12], "states of a topic that was never made anew stay what they are"
    assert places.of(record_of("t", 0, 7, b"", b"", 0)) == 7
