"""A batch counted at once counts as its events one by one; rows in pieces are the pure functions' rows."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from evometrics.schemas.catalog import released
from evometrics.schemas.datum import write_record
from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.reading import read_bounded
from evometrics.schemas.topics import BY_RECORD, SUCCESS_RATES
from evometrics.schemas.wire import WireFormat
from evometrics.streams.batches import LiveStates
from evometrics.streams.calculations import evolution_metrics
from evometrics.streams.metrics_rows import MetricsWriter
from evometrics.streams.offline import record_of
from evometrics.streams.packing import PackedCounts
from evometrics.streams.rates import RateWriter
from evometrics.streams.scope_tally import Attempt, ScopeTally, scopes_of
from evometrics.streams.state import PartialState
from evometrics.streams.tables import PartitionView
from evometrics.streams.windows import FLEET, SECOND, WINDOWS, Scope, WindowCounts, affected_rows
from tests.schemas.examples import EXAMPLES

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
    return LiveStates(lambda: PartialState(PackedCounts(WINDOWS)), lambda _: None, PartitionView({}))  # type: ignore[arg-type, return-value]


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
        tally = ScopeTally(known, lateness)
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
    counts = PackedCounts(WINDOWS)
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


kpis = st.dictionaries(
    st.sampled_from(["performance", "accuracy", "output_quality", "ü", "reliability"]),
    # differences of finite numbers need not be finite
    st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1.7e308, -1.7e308]),
)


@given(
    st.builds(
        lambda pre, post, **fields: dataclasses.replace(DONE, pre_kpis=pre, post_kpis=post, **fields),
        kpis,
        kpis,
        duration_seconds=st.floats(0, 1e6),
        memory_used_mb=st.floats(0, 1e6),
        target_gain=st.none() | st.floats(0, 1),
        gpu_memory_mb=st.none() | st.floats(0, 1e5),
        fitness_trajectory=st.lists(st.floats(0, 1), max_size=3),
        insights=st.lists(st.text(), max_size=2),
        metadata=st.dictionaries(st.text(), st.text(), max_size=3),
        generation=st.integers(-(2**63), 2**63 - 1),
    )
)
def test_a_completions_row_put_together_from_pieces_is_that_of_the_pure_function(
    done: EvolutionCompleted,
) -> None:
    topic = BY_RECORD[done.record].name
    record = record_of(topic, 0, 0, done.key.encode(), WIRE.encode(done), done.occurred_at // 1000)
    found = read_bounded(WIRE, record)
    row = MetricsWriter(WIRE).message(done, found.value, found.bounds)
    wanted = evolution_metrics(done)
    assert (row.key, row.value) == (wanted.key.encode(), WIRE.encode(wanted))


def test_a_completion_of_an_older_version_leads_to_the_same_row() -> None:
    topic = BY_RECORD[DONE.record].name
    newer = {"parent_agent_id": DONE.parent_agent_id, "cost_usd": DONE.cost_usd}
    for schema in released()[DONE.record]:
        value = b"\xc3\x01" + schema.fingerprint + write_record(schema, DONE.to_record())
        found = read_bounded(WIRE, record_of(topic, 0, 0, b"k", value, DONE.occurred_at // 1000))
        row = MetricsWriter(WIRE).message(DONE, found.value, found.bounds)
        assert dataclasses.replace(found.event, **newer) == DONE
        assert row.value == WIRE.encode(evolution_metrics(DONE))


def test_a_completion_written_in_an_unusual_way_leads_to_the_same_row() -> None:
    topic = BY_RECORD[DONE.record].name
    value = WIRE.encode(DONE)
    unusual = value.replace(b"\x02\x10accuracy", b"\x01\x22\x10accuracy", 1)
    assert unusual != value, "a block that says its size"
    row = {}
    for which in (value, unusual):
        found = read_bounded(WIRE, record_of(topic, 0, 0, b"k", which, DONE.occurred_at // 1000))
        assert found.event == DONE
        row[which] = MetricsWriter(WIRE).message(DONE, found.value, found.bounds)
    assert row[value] == row[unusual]
