"""States survive their bytes, and rings of ids know duplicates from what is read again."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evometrics.schemas.wire.binary import write_long, write_text
from evometrics.streams.formulas.windows import SECOND, WINDOWS
from evometrics.streams.states import id_rings as rings
from evometrics.streams.states import live
from evometrics.streams.states.agent_states import (
    EvolutionState,
    LentState,
    PartialState,
    ProgressState,
    SnapshotState,
    closed_mark,
)
from evometrics.streams.states.id_rings import RING_IDS, SEGMENT_IDS, SEGMENTS, Rings, id_number
from evometrics.streams.states.live import LiveStates
from evometrics.streams.states.window_counts import WindowCounts

DAY = 86_400
HELD = (SEGMENTS - 1) * SEGMENT_IDS


def counts(*attempts: tuple[int, bool]) -> WindowCounts:
    found = WindowCounts(WINDOWS)
    for at, success in attempts:
        found.add(at * SECOND, success, DAY)
    return found


def test_states_survive_their_bytes() -> None:
    some = counts((DAY * 400, True), (DAY * 400 + 301, False), (DAY * 399, True))
    agent = EvolutionState(some, 3, 2**40, {"e": b"x" * 300, "ü": b""}, [closed_mark("c"), closed_mark("d")])
    found = EvolutionState.decode(WINDOWS, agent.encode())
    assert found.counts.counts == some.counts
    assert found.counts.newest == some.newest
    assert (found.started_applied, found.completed_applied) == (3, 2**40)
    assert (found.open, found.closed, found.arrivals) == (agent.open, agent.closed, {})
    fresh = EvolutionState(WindowCounts(WINDOWS))
    assert EvolutionState.decode(WINDOWS, fresh.encode()).completed_applied == -1
    partial = PartialState.decode(WINDOWS, PartialState(some, 7).encode())
    assert (partial.counts.counts, partial.applied) == (some.counts, 7)
    assert ProgressState.decode(ProgressState(5, 2**51).encode()) == ProgressState(5, 2**51)
    for state in (SnapshotState(9, True), SnapshotState()):
        assert SnapshotState.decode(state.encode()) == state


def test_the_states_that_were_needed_last_stay_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LIVE_LIMIT", 2)
    states = LiveStates(ProgressState, ProgressState.decode, {})
    for key in "abc":
        states.get(key)
    for _ in range(2):
        states.trim()
        assert list(states.live) == ["b", "c"]


def test_a_lent_attempt_is_remembered_until_both_its_events_are_behind_what_was_written() -> None:
    def left(started: int, completed: int) -> set[int]:
        state = LentState(WindowCounts(WINDOWS), {5: 7, 6: 9})
        state.forget(started, completed)
        return set(state.counted)

    assert left(8, 5) == {6}
    assert left(8, 6) == {6}
    assert left(6, 6) == {5, 6}
    assert left(7, 4) == {5, 6}
    assert left(9, 6) == set()


def test_a_late_start_takes_its_arrival_along_and_no_other_state_grows_by_it() -> None:
    opened = {"on time": b"x" * 300, "late": b"y" * 70, "late and empty": b""}
    late = {"late": 2**51, "late and empty": 7}
    agent = EvolutionState(counts((DAY, True)), 3, 4, opened, [closed_mark("c")], late)
    found = EvolutionState.decode(WINDOWS, agent.encode())
    assert (found.open, found.arrivals, found.closed) == (opened, late, agent.closed)
    assert found.counts.counts == agent.counts.counts
    without = EvolutionState(agent.counts, 3, 4, opened, agent.closed).encode()
    assert len(without) < len(agent.encode()) <= len(without) + 10
    # as earlier releases wrote it: a length, never below 0, and the start's bytes
    assert write_text("late") + write_long(70) + b"y" * 70 in without
    assert EvolutionState.decode(WINDOWS, without).arrivals == {}


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 20 * DAY), st.booleans()), max_size=20), max_size=8),
    st.integers(0, 3 * DAY),
)
def test_packed_counts_are_the_counts_whatever_was_packed_before(
    batches: list[list[tuple[int, bool]]], lateness: int
) -> None:
    found = WindowCounts(WINDOWS)
    for batch in batches:
        for at, success in batch:
            found.add(at * SECOND, success, lateness)
        again = WindowCounts(WINDOWS, found.pack())
        assert [dict(sorted(c.items())) for c in again.counts] == [
            dict(sorted(c.items())) for c in found.counts
        ]
        found.tidy(lateness)


def test_large_counts_are_packed_whole() -> None:
    found = WindowCounts(WINDOWS)
    for size in (255, 256, 2**32 - 1, 2**32):
        found.count(0, 72, size, size - 1)
        found.count(2, 1, size, 0)
        assert WindowCounts(WINDOWS, found.pack()).counts == found.counts


def event_id(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


class Stored:
    """A table's partition, as a worker would find it again."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def rings(self) -> Rings:
        return Rings(self.values)

    def write(self, written: Rings, upto: int | None = None) -> int:
        writes = written.writes()
        for key, value in list(writes.items())[:upto]:
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        return len(writes)


def test_an_id_at_another_offset_is_a_duplicate_and_at_the_same_offset_is_read_again() -> None:
    stored = Stored()
    found = stored.rings()
    assert found.new("t", "n", event_id(1), 5)
    assert not found.new("t", "n", event_id(1), 6)
    assert found.new("t", "n", event_id(1), 5)
    assert found.new("t", "m", event_id(1), 6), "another node's"
    assert found.new("u", "n", event_id(1), 6), "another topic's"
    stored.write(found)
    again = stored.rings()
    assert again.new("t", "n", event_id(1), 5)
    assert not again.new("t", "n", event_id(1), 7)


def test_a_batch_writes_only_the_segments_it_changed() -> None:
    stored = Stored()
    found = stored.rings()
    for n in range(10 * SEGMENT_IDS):
        found.new("t", "n", event_id(n), n)
    assert stored.write(found) == 10
    found.new("t", "n", event_id(10_000), 10_000)
    assert stored.write(found) == 1
    found.new("t", "n", event_id(5), 10_001)
    assert stored.write(found) == 0


@pytest.mark.parametrize("batch", [1, 50, 3000, 9000])
def test_the_newest_ids_are_known_after_any_number_and_from_the_segments_alone(batch: int) -> None:
    stored, found, number = Stored(), None, 3 * HELD + 17
    for first in range(0, number, batch):
        found = stored.rings() if found is None or batch > 1000 else found
        for n in range(first, min(number, first + batch)):
            assert found.new("t", "n", event_id(n), n)
        stored.write(found)
    assert found is not None
    assert len(stored.values) == SEGMENTS
    for rings_now in (found, stored.rings()):
        assert all(not rings_now.new("t", "n", event_id(n), -2) for n in range(number - HELD, number))
        (ring,) = rings_now.rings["t"].values()
        assert HELD <= len(ring.known) <= HELD + SEGMENT_IDS
        assert rings_now.held == {"t": len(ring.known) + RING_IDS}
    assert found.new("t", "n", event_id(0), number)


def test_segments_written_in_part_are_as_good_as_none_for_what_is_read_again() -> None:
    for upto in range(4):
        stored = Stored()
        found = stored.rings()
        for n in range(100):
            found.new("t", "n", event_id(n), n)
        stored.write(found)
        for n in range(100, 250):
            found.new("t", "n", event_id(n), n)
        stored.write(found, upto)
        again = stored.rings()
        assert all(again.new("t", "n", event_id(n), n) for n in range(100, 250))
        stored.write(again)
        assert all(not stored.rings().new("t", "n", event_id(n), 300) for n in range(250))


def test_the_rings_longest_unused_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "IDS_LIMIT", 300 + 3 * RING_IDS + 5)
    stored = Stored()
    found = stored.rings()
    for n in range(300):
        found.new("t", "a", event_id(n), n)
    for n, node in enumerate("bcad"):
        assert found.new("t", node, event_id(1000 + n), 300 + n)
        stored.write(found)
    for rings_now in (found, stored.rings()):
        assert list(rings_now.rings["t"]) == ["c", "a", "d"]
        assert rings_now.held["t"] == 303 + 3 * RING_IDS
    assert {key.rpartition(b"|")[2] for key in stored.values} == {b"c", b"a", b"d"}
    for n in range(10):  # a node that is heard of often takes what others had
        assert found.new("t", "d", event_id(2000 + n), 400 + n)
    assert list(found.rings["t"]) == ["a", "d"], "c alone was enough"


def test_duplicates_of_thousands_of_nodes_are_recognised_however_many_were_heard_of_meanwhile() -> None:
    stored = Stored()
    found = stored.rings()
    nodes = [f"node-{number}" for number in range(5000)]
    for round_of_events in range(3):
        for place, node in enumerate(nodes):
            number = place * 10 + round_of_events
            assert found.new("t", node, event_id(number), number)
    stored.write(found)
    for rings_now in (found, stored.rings()):
        again = [rings_now.new("t", node, event_id(place * 10), -2) for place, node in enumerate(nodes)]
        assert not any(again)
    assert found.held["t"] == len(nodes) * (3 + RING_IDS)


def test_of_as_many_busy_nodes_as_there_is_room_for_all_newest_ids_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rings, "IDS_LIMIT", 4 * (HELD + SEGMENT_IDS + RING_IDS))
    found = Stored().rings()
    for n in range(2 * HELD):
        for node in "abcd":
            found.new("t", node, event_id(n), n)
    for node in "abcd":
        assert all(not found.new("t", node, event_id(n), -2) for n in range(HELD, 2 * HELD))


@given(st.uuids(), st.uuids())
def test_ids_that_differ_have_other_numbers(one: Any, other: Any) -> None:
    assert (id_number(str(one)) == id_number(str(other))) == (one == other)
    assert id_number(str(one).upper()) == id_number(str(one))


@pytest.mark.parametrize(
    "text", ["", "no", event_id(1)[:-1], event_id(1) + "0", event_id(1)[:-1] + "g", "\u0661" * 32]
)
def test_what_is_no_uuid_has_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="not a UUID"):
        id_number(text)


def test_a_segment_that_nobody_wrote_is_refused() -> None:
    with pytest.raises(ValueError, match="a segment of 1040 bytes"):
        Rings({b"t|0|n": bytes(8 + 65 * 16)})


def test_ids_that_differ_in_one_half_alone_have_other_numbers() -> None:
    rng = random.Random(1)
    low = f"8{rng.getrandbits(12):03x}-{rng.getrandbits(48):012x}"
    ids = {f"{high:08x}-0000-1000-{low}" for high in range(5000)}
    assert len({id_number(i) for i in ids}) == len(ids) == 5000
