"""Which snapshots an evolution's KPIs are."""

from __future__ import annotations

import dataclasses

import pytest

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted, KpiSnapshot, SystemEvent
from evometrics.schemas.evolutions.snapshots import fill, snapshot_id, snapshots_of
from evometrics.schemas.rules.validation import InvalidEvent, validate

HEAD = {"event_id": "01912345-6789-7abc-8def-0123456789ab", "agent_id": "a", "node_id": "n"}
STARTED = EvolutionStarted(
    **HEAD,
    occurred_at=1_000_000,
    evolution_id="e",
    pre_kpis={"accuracy": 0.5},
    snapshot_phases=["pre_evolution"],
)
COMPLETED = EvolutionCompleted(
    **HEAD,
    occurred_at=3_000_000,
    started_at=1_500_000,
    evolution_id="e",
    pre_kpis={"performance": 0.25, "novelty": 2.0},
    post_kpis={"accuracy": 0.75, "evaluation_count": 12.0},
    snapshot_phases=["post_evolution", "pre_evolution"],
)


def test_a_completion_has_both_each_with_its_own_time_the_earlier_first() -> None:
    before, after = snapshots_of(COMPLETED)
    assert (before.phase, before.occurred_at, before.overall_performance) == (
        "pre_evolution",
        1_500_000,
        0.25,
    )
    assert before.extra == {"performance": 0.25, "novelty": 2.0}
    assert (after.phase, after.occurred_at, after.accuracy, after.evaluation_count) == (
        "post_evolution",
        3_000_000,
        0.75,
        12,
    )
    assert after.overall_performance == 0.1875, "by the formula"
    assert {(s.agent_id, s.node_id, s.evolution_id) for s in (before, after)} == {("a", "n", "e")}
    assert before.event_id == snapshot_id(COMPLETED.event_id, "pre_evolution") != after.event_id
    for each in (before, after):
        validate(each)


def test_a_start_has_the_one_before_and_what_says_nothing_has_none() -> None:
    (before,) = snapshots_of(STARTED)
    assert (before.phase, before.occurred_at, before.accuracy) == ("pre_evolution", 1_000_000, 0.5)
    for event in (
        dataclasses.replace(STARTED, snapshot_phases=[]),
        dataclasses.replace(COMPLETED, snapshot_phases=[]),
        dataclasses.replace(STARTED, snapshot_phases=["post_evolution"]),
        SystemEvent(**HEAD, occurred_at=0, event_type="x"),
    ):
        assert list(snapshots_of(event)) == []


@pytest.mark.parametrize("number", [2.5, 1e300, -1e19])
def test_a_number_of_evaluations_that_is_no_count_is_kept_beside_the_other_kpis(number: float) -> None:
    found = KpiSnapshot(**HEAD, occurred_at=0)
    fill(found, {"evaluation_count": number})
    assert (found.evaluation_count, found.extra) == (None, {"evaluation_count": number})
    validate(found)


@pytest.mark.parametrize("event", [STARTED, COMPLETED], ids=lambda event: event.record)
def test_a_phase_that_no_evolution_has_is_refused_by_name(
    event: EvolutionStarted | EvolutionCompleted,
) -> None:
    with pytest.raises(
        InvalidEvent, match=r"snapshot_phases: 'baseline' is not one of post_evolution, pre_evolution"
    ):
        validate(dataclasses.replace(event, snapshot_phases=["pre_evolution", "baseline"]))
