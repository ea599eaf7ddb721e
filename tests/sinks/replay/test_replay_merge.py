"""Messages of many partitions in one order: each partition's own, and that of time between them."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from evometrics.sinks.replay.merge import Merge


class Message(NamedTuple):
    partition: int
    offset: int
    timestamp: int


def log(partition: int, times: list[int]) -> list[Message]:
    return [Message(partition, offset, at) for offset, at in enumerate(times)]


def merged(logs: list[list[Message]], rng: random.Random, limit: int = 5) -> tuple[list[Message], int]:
    """Return the messages in the order in which they came out, and how many waited at most."""
    merge: Merge[int, Message] = Merge(range(len(logs)))
    places = [0] * len(logs)
    found: list[Message] = []
    most = 0
    while merge.unread or merge.heap:
        if merge.blocked():
            short = merge.short(limit)
            number = rng.choice(short)
            first = places[number]
            places[number] = min(len(logs[number]), first + rng.randrange(4))
            merge.add(number, logs[number][first : places[number]])
            if places[number] == len(logs[number]):
                merge.end(number)
        most = max(most, sum(map(len, merge.waiting.values())))
        found += merge.take(rng.randrange(1, 9))
    return found, most


@pytest.mark.parametrize("seed", range(20))
def test_logs_in_the_order_of_time_come_out_in_the_order_of_time(seed: int) -> None:
    rng = random.Random(seed)
    logs = [log(n, sorted(rng.randrange(100) for _ in range(rng.randrange(30)))) for n in range(4)]
    found, most = merged(logs, rng)
    assert sorted(found) == sorted(message for each in logs for message in each)
    assert [message.timestamp for message in found] == sorted(message.timestamp for message in found)
    assert most <= 4 * (5 + 4), "no more waits than was asked for, and what one fetch brings"


@pytest.mark.parametrize("seed", range(20))
def test_a_partition_keeps_its_order_whatever_the_times(seed: int) -> None:
    rng = random.Random(seed)
    logs = [log(n, [rng.randrange(100) for _ in range(rng.randrange(30))]) for n in range(4)]
    found, _ = merged(logs, rng)
    assert [[m for m in found if m.partition == number] for number in range(4)] == logs


def test_nothing_comes_out_while_a_partition_is_not_known() -> None:
    merge: Merge[int, Message] = Merge([0, 1])
    merge.add(0, log(0, [1, 2, 9]))
    assert merge.take(10) == [] and merge.blocked() and set(merge.short(3)) == {1}
    merge.add(1, log(1, [5]))
    assert [message.timestamp for message in merge.take(10)] == [1, 2, 5]
    merge.end(1)
    assert [message.timestamp for message in merge.take(10)] == [9]
    assert merge.blocked() and merge.short(1) == [0]
