"""Completions that wait for their start: the newest stay, in their order, as far as the room goes."""

from __future__ import annotations

import pytest

from evometrics.streams.states import waiting as module
from evometrics.streams.states.waiting import Waiting, waiting_key

#: Bytes that a value of 9 takes with its offset, below 64, before it.
KEPT = 10


@pytest.fixture(autouse=True)
def room_for_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 4 * KEPT)


def kept(waiting: Waiting, numbers: range) -> list[int]:
    """Return the numbers of the evolutions that are there."""
    return [number for number in numbers if waiting.get("a", f"e{number}")]


def test_as_much_as_fits_exactly_stays_and_a_byte_more_drops_the_oldest() -> None:
    waiting = Waiting({})
    for number in range(4):
        waiting.put("a", f"e{number}", number, bytes(9))
    assert kept(waiting, range(5)) == [0, 1, 2, 3]
    waiting.put("a", "e4", 4, b"")
    assert kept(waiting, range(5)) == [1, 2, 3, 4]


def test_what_is_larger_than_all_the_room_stays_alone() -> None:
    waiting = Waiting({})
    waiting.put("a", "e0", 0, bytes(9))
    waiting.put("a", "e1", 1, bytes(5 * KEPT))
    assert kept(waiting, range(2)) == [1]
    waiting.put("a", "e2", 2, bytes(5 * KEPT))
    assert kept(waiting, range(3)) == [2]


def test_after_a_restart_the_oldest_still_go_first_whatever_their_keys() -> None:
    before = Waiting({})
    # offsets in the reverse of the keys' order
    names = sorted(
        (f"e{number}" for number in range(4)), key=lambda name: waiting_key("a", name), reverse=True
    )
    for offset, name in enumerate(names):
        before.put("a", name, offset, bytes(9))
    after = Waiting({key: value for key, value in before.writes().items() if value is not None})
    for offset, name in enumerate(names):
        assert after.get("a", name) == (offset, bytes(9))
        after.put("a", f"new{offset}", 4 + offset, bytes(9))
        assert after.get("a", name) is None
        assert all(after.get("a", later) for later in names[offset + 1 :])
