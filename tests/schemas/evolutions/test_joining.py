"""What a completion gets from its start: what it lacks and its start has, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted
from evometrics.schemas.evolutions.joining import Lack, joined, lacking, lent_by, metrics_of
from evometrics.schemas.evolutions.outcome import evolution_metrics

HEAD = {"agent_id": "a", "node_id": "n", "evolution_id": "e"}
SECOND = 1_000_000
START = EvolutionStarted(
    event_id="01912345-6789-7abc-8def-0123456789ab",
    **HEAD,
    occurred_at=100 * SECOND,
    evolution_type="nightly",
    strategy="tune",
    risk_level="low",
    target_gain=0.5,
    trigger_reason="drift",
    generation=7,
    pre_kpis={"performance": 0.25},
    metadata={"of": "start", "both": "start"},
    run_id="night",
    model="m",
    objective="loss",
    direction="minimize",
)
#: A completion that lacks everything, and one that lacks nothing.
BARE = EvolutionCompleted(
    event_id="01912345-6789-7abc-9def-0123456789ab",
    **HEAD,
    occurred_at=190 * SECOND,
    started_at=190 * SECOND,
    status="succeeded",
    success=True,
    post_kpis={"performance": 0.5},
)
FULL = dataclasses.replace(
    BARE,
    started_at=150 * SECOND,
    duration_seconds=40.0,
    evolution_type="own",
    strategy_used="own",
    risk_level="own",
    target_gain=0.0,
    trigger_reason="own",
    generation=1,
    pre_kpis={"performance": 0.125},
    metadata={"both": "end"},
    run_id="own",
    model="own",
    direction="maximize",
)
#: Each part that can be lent: its field in the completion, in the start, and the start's value.
PARTS = [
    (Lack.PRE_KPIS, "pre_kpis", "pre_kpis", {"performance": 0.25}),
    (Lack.TYPE, "evolution_type", "evolution_type", "nightly"),
    (Lack.STRATEGY, "strategy_used", "strategy", "tune"),
    (Lack.RISK, "risk_level", "risk_level", "low"),
    (Lack.TARGET, "target_gain", "target_gain", 0.5),
    (Lack.REASON, "trigger_reason", "trigger_reason", "drift"),
    (Lack.GENERATION, "generation", "generation", 7),
]
NOTHING = {"generation": 0, "target_gain": None, "pre_kpis": {}}


def test_a_completion_that_lacks_nothing_is_as_it_was_but_for_metadata() -> None:
    assert lacking(FULL) == 0
    assert joined(FULL, START) == dataclasses.replace(FULL, metadata={"of": "start", "both": "end"})
    assert metrics_of(FULL, START) == metrics_of(FULL, None) == evolution_metrics(FULL)


@pytest.mark.parametrize(("bit", "field", "lender", "value"), PARTS)
def test_one_lacking_part_is_filled_and_no_other(bit: Lack, field: str, lender: str, value: Any) -> None:
    done = dataclasses.replace(FULL, **{field: NOTHING.get(field, "")})
    assert lacking(done) == bit
    assert joined(done, START) == dataclasses.replace(
        FULL, metadata={"of": "start", "both": "end"}, **{field: value}
    )
    poor = dataclasses.replace(START, **{lender: NOTHING.get(field, "")})
    assert lent_by(START) - lent_by(poor) == bit
    assert metrics_of(done, poor) == evolution_metrics(done)


@pytest.mark.parametrize(
    ("bit", "fields"),
    [
        (Lack.RUN, {"run_id": "night"}),
        (Lack.MODEL, {"model": "m"}),
        (Lack.OBJECTIVE, {"objective": "loss", "direction": "minimize"}),
    ],
)
def test_a_run_model_or_objective_is_filled_but_not_waited_for_alone(
    bit: Lack, fields: dict[str, Any]
) -> None:
    alone = dataclasses.replace(FULL, **dict.fromkeys(fields))
    assert lacking(alone) == 0
    done = dataclasses.replace(alone, risk_level="")
    assert lacking(done) == Lack.RISK | bit
    found = joined(done, START)
    assert {name: getattr(found, name) for name in fields} == fields
    poor = dataclasses.replace(START, **dict.fromkeys(fields))
    assert lent_by(START) - lent_by(poor) == bit
    assert joined(done, poor) == dataclasses.replace(
        alone, risk_level="low", metadata={"of": "start", "both": "end"}
    )


def test_all_that_is_lacking_is_filled_at_once_and_the_row_says_that_it_is_joined() -> None:
    found = metrics_of(BARE, START)
    assert found.version == 1
    assert (found.evolution_type, found.strategy_used, found.risk_level) == ("nightly", "tune", "low")
    assert (found.started_at, found.duration_minutes) == (100 * SECOND, 1.5)
    assert (found.run_id, found.model, found.objective, found.direction) == ("night", "m", "loss", "minimize")
    assert (found.baseline_performance, found.improvement_delta) == (None, None)
    of_performance = metrics_of(BARE, dataclasses.replace(START, objective=None, direction=None))
    assert (of_performance.baseline_performance, of_performance.improvement_delta) == (0.25, 0.25)
    assert found.metadata == {"of": "start", "both": "start"}
    assert metrics_of(BARE, None) == evolution_metrics(BARE)
    assert evolution_metrics(BARE).version == 0


def test_an_unknown_duration_is_the_time_between_both_and_other_unknowns_stay() -> None:
    done = dataclasses.replace(FULL, unmeasured=["memory_used_mb", "duration_seconds"])
    found = joined(done, START)
    assert (found.started_at, found.duration_seconds) == (100 * SECOND, 90.0)
    assert found.unmeasured == ["memory_used_mb"]


def test_a_measured_duration_stays_though_the_beginning_was_unknown() -> None:
    done = dataclasses.replace(BARE, duration_seconds=7.0, unmeasured=["memory_used_mb"])
    found = joined(done, START)
    assert (found.started_at, found.duration_seconds) == (100 * SECOND, 7.0)
    assert found.unmeasured == ["memory_used_mb"]


def test_a_start_at_the_same_moment_gives_a_duration_of_0_one_after_it_none() -> None:
    done = dataclasses.replace(BARE, unmeasured=["duration_seconds"])
    at_once = joined(done, dataclasses.replace(START, occurred_at=BARE.occurred_at))
    assert (at_once.duration_seconds, at_once.unmeasured) == (0.0, [])
    later = joined(done, dataclasses.replace(START, occurred_at=BARE.occurred_at + 1))
    assert (later.started_at, later.unmeasured) == (BARE.started_at, ["duration_seconds"])


def test_a_beginning_that_is_known_is_not_replaced() -> None:
    done = dataclasses.replace(FULL, strategy_used="")
    assert joined(done, START).started_at == FULL.started_at
