"""Counts of several source partitions become one scope's rates; those that are final stay as they are."""

from __future__ import annotations

import pytest

from evometrics.schemas.events import SuccessRate
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.formulas.windows import FLEET, Counts, Scope, Window
from evometrics.streams.processors.scope_counts import LATEST_SECONDS, ScopeCounts
from evometrics.streams.processors.scopes import ScopeMessage, ScopeProcessor
from evometrics.streams.settings import StreamSettings
from evometrics.streams.states.agent_states import PartialState
from evometrics.streams.states.live import Outcome

WIRE = WireFormat()
#: Three steps of 100 s, and two of 300 s.
SHORT, LONG = Window(300, 100), Window(600, 300)
NODE = Scope("node", "n")


class Merging:
    """A processor with its stored states."""

    def __init__(self, lateness: int = 10_000) -> None:
        self.settings = StreamSettings(allowed_lateness_seconds=lateness)
        self.stored: dict[bytes, bytes] = {}
        self.offset = -1
        self.restart()

    def restart(self) -> None:
        self.processor = ScopeProcessor(self.settings, WIRE, (SHORT, LONG))

    def read(self, source: int, counts: Counts, scope: Scope = NODE) -> Outcome:
        """Process a message: source partition, and counts by step of the short window."""
        self.offset += 1
        return self.process([message(self.offset, source, counts, scope)])

    def process(self, batch: list[ScopeMessage]) -> Outcome:
        outcome = self.processor.process(0, batch, self.stored)
        for _, _, values in outcome.writes:
            self.stored.update({key: value for key, value in values.items() if value is not None})
        return outcome


def message(offset: int, source: int, counts: Counts, scope: Scope = NODE) -> ScopeMessage:
    long: Counts = {}
    for step, (attempts, successes) in counts.items():
        known = long.get(step // 3, (0, 0))
        long[step // 3] = known[0] + attempts, known[1] + successes
    return ScopeMessage(offset, scope, ScopeCounts(source, [counts, long]))


def rates(outcome: Outcome, window: Window = SHORT) -> dict[int, tuple[int, int]]:
    """Return attempts and successes of a window's rows, by the step that they end with."""
    rows = [WIRE.decode(message.value or b"") for message in outcome.messages]
    assert all(isinstance(row, SuccessRate) for row in rows)
    return {
        row.window_end // 1_000_000 // window.step_seconds - 1: (row.attempts, row.successes)
        for row in rows
        if isinstance(row, SuccessRate) and row.window_seconds == window.seconds
    }


@pytest.mark.parametrize("restart", [False, True])
def test_counts_of_several_partitions_add_up(restart: bool) -> None:
    merging = Merging()
    assert rates(merging.read(0, {100: (2, 1)})) == {100: (2, 1)}
    if restart:
        merging.restart()
    outcome = merging.read(1, {100: (3, 3), 101: (1, 0)})
    assert rates(outcome) == {100: (5, 4), 101: (6, 4)}
    assert rates(outcome, LONG) == {33: (6, 4)}
    assert (outcome.applied, outcome.fenced, outcome.too_late) == (1, 0, 0)


def test_of_two_messages_of_a_partition_the_one_with_more_attempts_counts() -> None:
    merging = Merging()
    merging.read(0, {100: (3, 2)})
    assert rates(merging.read(0, {100: (2, 2)})) == {}
    assert rates(merging.read(0, {100: (3, 3)})) == {}
    assert rates(merging.read(0, {100: (4, 2)})) == {100: (4, 2)}


def test_a_step_is_in_the_windows_that_reach_back_to_it() -> None:
    merging = Merging()
    merging.read(0, {102: (1, 1), 103: (1, 1)})
    assert rates(merging.read(0, {100: (1, 0)})) == {100: (1, 0), 102: (2, 1)}


def test_scopes_are_counted_apart() -> None:
    merging = Merging()
    merging.read(0, {100: (2, 1)})
    assert rates(merging.read(0, {100: (1, 1)}, scope=FLEET)) == {100: (1, 1)}


@pytest.mark.parametrize("restart", [False, True])
def test_a_message_that_was_applied_before_a_crash_is_fenced(restart: bool) -> None:
    merging = Merging()
    batch = [message(n, 0, {100: (n + 1, 0)}) for n in range(3)]
    merging.process(batch[:2])
    if restart:
        merging.restart()
    outcome = merging.process(batch)
    assert (outcome.applied, outcome.fenced) == (1, 2)
    assert rates(outcome) == {100: (3, 0)}


@pytest.mark.parametrize("restart", [False, True])
def test_a_row_that_is_final_stays_as_it_is_and_a_step_in_it_is_too_late(restart: bool) -> None:
    merging = Merging(lateness=200)
    merging.read(0, {100: (1, 1)})
    merging.read(0, {105: (1, 1)})
    if restart:
        merging.restart()
    late = merging.read(1, {102: (1, 0)})
    assert (rates(late), late.too_late) == ({}, 1)
    assert rates(merging.read(1, {103: (1, 0)})) == {103: (2, 0), 105: (2, 1)}, (
        "an open row has the late step"
    )


def test_steps_that_no_open_row_reaches_back_to_are_forgotten_for_every_partition() -> None:
    merging = Merging(lateness=200)
    for source, step in ((0, 100), (1, 101), (0, 10_000), (1, 10_001)):
        merging.read(source, {step: (1, 1)})
    kept = {
        key: PartialState.decode((SHORT, LONG), value).counts.counts[0]
        for key, value in merging.stored.items()
    }
    assert kept == {b"0|node|n": {10_000: (1, 1)}, b"1|node|n": {10_001: (1, 1)}}


def test_counts_that_can_be_a_streams_pass() -> None:
    ScopeCounts(0, [{0: (0, 0), 5: (3, 3)}, {LATEST_SECONDS // 300 - 1: (1, 0)}]).check((SHORT, LONG))


@pytest.mark.parametrize(
    ("source", "counts"),
    [
        (-1, [{}, {}]),
        (0, [{}]),
        (0, [{}, {}, {}]),
        (0, [{-1: (1, 1)}, {}]),
        (0, [{LATEST_SECONDS // 100: (1, 1)}, {}]),
        (0, [{}, {LATEST_SECONDS // 300: (1, 1)}]),
        (0, [{1: (1, 2)}, {}]),
        (0, [{1: (1, -1)}, {}]),
    ],
)
def test_counts_that_no_stream_can_have_are_refused(source: int, counts: list[Counts]) -> None:
    with pytest.raises(ValueError, match=r"has|counts"):
        ScopeCounts(source, counts).check((SHORT, LONG))


def test_a_message_of_counts_reads_as_it_was_and_has_nothing_after_them() -> None:
    counts = ScopeCounts(3, [{100: (2, 1), 7: (1, 0)}, {}])
    message = counts.message(NODE)
    assert message.key == b"node|n" and message.value is not None
    assert ScopeCounts.decode(message.value) == counts
    with pytest.raises(ValueError, match="counts"):
        ScopeCounts.decode(message.value + b"\0")
