"""A batch counted at once counts as its events one by one; rates in pieces are the pure function's rows."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.topics import SUCCESS_RATES
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.formulas.windows import FLEET, SECOND, WINDOWS, Scope, affected_rows
from evometrics.streams.processors.scope_tally import Attempt, ScopeTally, scopes_of
from evometrics.streams.rows.rates import RateWriter
from evometrics.streams.states.agent_states import LentState, PartialState
from evometrics.streams.states.live import LiveStates
from evometrics.streams.states.window_counts import WindowCounts
from tests.support.examples import EXAMPLES

WIRE = WireFormat()
DONE = next(e for e in EXAMPLES if isinstance(e, EvolutionCompleted))
BEGIN = 1_780_000_000
STEP = WINDOWS[0].step_seconds

attempts = st.builds(
    lambda at, success, kind, strategy, node: dataclasses.replace(
        DONE,
        occurred_at=(BEGIN + at) * SECOND,
        success=success,
        evolution_type=kind,
        strategy_used=strategy,
        node_id=node,
    ),
    st.one_of(st.integers(0, 20_000), st.integers(0, 900_000)),
    st.booleans(),
    *(st.sampled_from("ab") for _ in range(3)),
)


def states() -> LiveStates[PartialState]:
    return LiveStates(lambda: PartialState(WindowCounts(WINDOWS)), lambda _: None, {})  # type: ignore[arg-type, return-value]


def lent_states() -> LiveStates[LentState]:
    return LiveStates(lambda: LentState(WindowCounts(WINDOWS)), lambda _: None, {})  # type: ignore[arg-type, return-value]


class EventByEvent:
    """What counting means: one event after the other, for each of its scopes."""

    def __init__(self, lateness: int) -> None:
        self.lateness = lateness
        self.counts: dict[str, WindowCounts] = {}
        self.applied: dict[str, int] = {}
        self.too_late = 0
        self.changed: dict[Scope, list[set[int]]] = {}

    def count(self, batch: list[Attempt]) -> None:
        self.changed = {}
        for offset, event in batch:
            for scope in scopes_of(event):
                if offset <= self.applied.get(scope.key, -1):
                    continue
                self.applied[scope.key] = offset
                counts = self.counts.setdefault(scope.key, WindowCounts(WINDOWS))
                steps = counts.add(event.occurred_at, event.success, self.lateness)
                if steps is None:
                    self.too_late += 1
                    continue
                known = self.changed.setdefault(scope, [set() for _ in WINDOWS])
                for mine, new in zip(known, steps, strict=True):
                    mine |= new


def test_a_completion_counts_for_its_node_and_the_fleet_and_for_the_type_and_strategy_that_it_names() -> None:
    def found(kind: str, strategy: str) -> list[Scope]:
        return scopes_of(dataclasses.replace(DONE, node_id="n", evolution_type=kind, strategy_used=strategy))

    always = [Scope("node", "n"), FLEET]
    kind, strategy = Scope("evolution_type", "nightly"), Scope("strategy", "tune")
    assert found("nightly", "tune") == [*always, kind, strategy]
    assert found("nightly", "") == [*always, kind]
    assert found("unknown", "tune") == [*always, strategy]
    assert found("", "") == always


@settings(max_examples=300)
@given(
    st.lists(st.lists(attempts, min_size=1, max_size=12), min_size=1, max_size=6),
    st.sampled_from([0, 3600, 172_800]),
    st.dictionaries(st.sampled_from([FLEET.key, "node|a", "strategy|b"]), st.integers(0, 20), max_size=2),
)
def test_a_batch_at_once_counts_as_its_events_one_by_one(
    batches: list[list[EvolutionCompleted]], lateness: int, fenced: dict[str, int]
) -> None:
    known, one_by_one = states(), EventByEvent(lateness)
    for key, offset in fenced.items():
        known.get(key).applied = one_by_one.applied[key] = offset
    offset = too_late = 0
    for events in batches:
        batch = [(offset + n, event) for n, event in enumerate(events)]
        offset += len(events)
        tally = ScopeTally(known, lent_states(), (-1, -1), lateness)
        tally.count(batch, STEP)
        one_by_one.count(batch)
        too_late += tally.too_late
        assert tally.changed == one_by_one.changed
        assert too_late == one_by_one.too_late
        for key, counts in one_by_one.counts.items():
            assert known.get(key).counts.counts == counts.counts
            assert known.get(key).counts.newest == counts.newest
            assert known.get(key).applied == one_by_one.applied[key]


@given(
    st.sampled_from([Scope("agent", "a-ü"), Scope("node", "n" * 900), Scope("strategy", ""), FLEET]),
    st.lists(st.tuples(st.integers(0, 900_000), st.booleans()), min_size=1, max_size=60),
    st.data(),
)
def test_rows_put_together_from_pieces_are_those_of_the_pure_functions(
    scope: Scope, counted: list[tuple[int, bool]], data: Any
) -> None:
    counts = WindowCounts(WINDOWS)
    for at, success in counted:
        counts.add((BEGIN + at) * SECOND, success, 10**9)
    changes = []
    wanted = []
    for window, totals in zip(WINDOWS, counts.counts, strict=True):
        changed = data.draw(st.sets(st.sampled_from(sorted(totals))))
        changes.append((window, totals, changed))
        wanted += affected_rows(scope, window, totals, changed)
    messages = RateWriter(WIRE).rows(scope, changes)
    assert [m.value for m in messages] == [WIRE.encode(row) for row in wanted]
    assert [m.key.decode() for m in messages] == [row.key for row in wanted]
    assert {m.topic for m in messages} <= {SUCCESS_RATES.name}
