"""What frameworks evolve with: candidates, parents, costs and objectives; and what of it can't be kept."""

from __future__ import annotations

import enum
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from evometrics.producers import EvolutionMetricsCollector, LocalMetricsQuery
from evometrics.producers.events.candidate import MOST_BYTES
from evometrics.producers.events.left_out import LEFT_OUT
from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionProgressed, EvolutionStarted
from tests.support.outboxes import until, waiting, with_snapshots


async def completed(collector: EvolutionMetricsCollector, **fields: Any) -> EvolutionCompleted:
    """Record a completion of an agent with these fields; return the event."""
    assert await collector.record_evolution_completion(agent_id="a", **fields)
    found = [e for e in waiting(collector) if isinstance(e, EvolutionCompleted)][-1]
    assert collector.rejected == 0
    return found


def left_out(event: Event) -> dict[str, str]:
    """Return what an event says was left out of it."""
    found: dict[str, str] = json.loads(getattr(event, "metadata").get(LEFT_OUT, "{}"))  # noqa: B009
    return found


async def test_a_block_records_what_a_framework_says_of_a_candidate(
    collector: EvolutionMetricsCollector,
) -> None:
    async with collector.evolution(
        "run/7", evolution_type="gepa", run_id="run", model="model-a", objective="loss", direction="minimize"
    ) as run:
        await run.progress(0, 0.5, evaluations=3, mean=0.75, front_size=2, extras={"species": 4}, lr=1)
        await run.complete(
            post_kpis={"loss": 0.25},
            parent_agent_ids=["run/3", "run/5"],
            cost_usd=0.5,
            tokens_in=1200,
            tokens_out=34,
            evaluations=9,
            candidate="def f(): ...",
        )
    started, progressed, done = waiting(collector)
    assert isinstance(started, EvolutionStarted)
    assert (started.run_id, started.model, started.objective, started.direction) == (
        *("run", "model-a", "loss", "minimize"),
    )
    assert isinstance(progressed, EvolutionProgressed)
    assert (progressed.evaluations, progressed.mean, progressed.front_size) == (3, 0.75, 2)
    assert (progressed.extras, progressed.metadata) == ({"species": 4.0}, {"lr": "1"})
    assert isinstance(done, EvolutionCompleted)
    assert (done.parent_agent_id, done.parent_agent_ids) == ("run/3", ["run/3", "run/5"])
    assert (done.cost_usd, done.tokens_in, done.tokens_out, done.evaluations) == (0.5, 1200, 34, 9)
    assert (done.candidate, done.candidate_hash) == ("def f(): ...", sha256(b"def f(): ...").hexdigest())
    assert (done.run_id, done.model, done.objective, done.direction) == (
        *("run", "model-a", "loss", "minimize"),
    )
    assert done.metadata == {}


@pytest.mark.parametrize(
    ("given", "first", "parents"),
    [
        ({"parent_agent_id": "p"}, "p", ["p"]),
        ({"parent_agent_ids": ("p", "q")}, "p", ["p", "q"]),
        ({"parent_agent_ids": "p"}, "p", ["p"]),
        ({"parent_agent_ids": [3, 3]}, "3", ["3", "3"]),
        ({"parent_agent_ids": []}, None, []),
        ({"parent_agent_id": "q", "parent_agent_ids": ["p", "q"]}, "q", ["q", "p"]),
        ({"parent_agent_id": "r", "parent_agent_ids": ["p", "q"]}, "r", ["r", "p", "q"]),
    ],
)
async def test_the_first_parent_and_all_of_them_stand_for_each_other(
    collector: EvolutionMetricsCollector, given: dict[str, Any], first: str | None, parents: list[str]
) -> None:
    done = await completed(collector, **given)
    assert (done.parent_agent_id, done.parent_agent_ids) == (first, parents)
    assert left_out(done) == {}


async def test_bad_values_cost_themselves_and_are_named(collector: EvolutionMetricsCollector) -> None:
    done = await completed(
        collector,
        parent_agent_ids=["", "p", "q" * 1001],
        cost_usd=float("nan"),
        tokens_in=-1,
        tokens_out=0.5,
        evaluations="many",
        direction="upwards",
        candidate_hash="abc",
        model="",
        run_id=7,
    )
    assert (done.parent_agent_id, done.parent_agent_ids) == ("p", ["p"])
    assert (done.cost_usd, done.tokens_in, done.tokens_out, done.evaluations) == (None, None, None, None)
    assert (done.direction, done.candidate_hash, done.model, done.run_id) == (None, None, None, "7")
    said = left_out(done)
    assert set(said) == {
        *("parent_agent_ids[0]", "parent_agent_ids[2]", "cost_usd", "tokens_in", "tokens_out"),
        *("evaluations", "direction", "candidate_hash"),
    }
    assert said["direction"] == "upwards: is not one of maximize, minimize, pareto"
    assert said["tokens_in"] == "-1: is negative"


async def test_a_parent_without_a_name_or_with_one_that_no_agent_has_is_none(
    collector: EvolutionMetricsCollector,
) -> None:
    for parent in ("", "p" * 1001):
        done = await completed(collector, parent_agent_id=parent)
        assert (done.parent_agent_id, done.parent_agent_ids) == (None, [])
        assert set(left_out(done)) == {"parent_agent_id"}


async def test_a_long_candidate_is_cut_at_a_character_and_its_hash_is_of_all_of_it(
    collector: EvolutionMetricsCollector,
) -> None:
    text = "x" + "ü" * MOST_BYTES
    done = await completed(collector, candidate=text)
    assert done.candidate == "x" + "ü" * (MOST_BYTES // 2 - 1)
    assert done.candidate_hash == sha256(text.encode()).hexdigest()
    assert left_out(done)["candidate"].endswith("has 131073 bytes of UTF-8; the first 65535 are kept")
    whole = await completed(collector, candidate="y" * MOST_BYTES, candidate_hash="AB" * 32)
    assert (whole.candidate, whole.candidate_hash) == ("y" * MOST_BYTES, "ab" * 32)
    assert left_out(whole) == {}


class StudyDirection(enum.IntEnum):
    MINIMIZE = 1


async def test_a_direction_may_be_a_frameworks_own(collector: EvolutionMetricsCollector) -> None:
    for given, kept in ((StudyDirection.MINIMIZE, "minimize"), ("Max", "maximize"), ("pareto", "pareto")):
        assert (await completed(collector, direction=given)).direction == kept


@pytest.mark.parametrize("status", ["pruned", "rejected", "Pruned "])
async def test_a_candidate_that_was_never_applied_did_not_succeed_and_has_no_snapshot(
    collector: EvolutionMetricsCollector, status: str
) -> None:
    done = await completed(
        collector, status=status, rollback_performed=True, pre_kpis={"a": 1.0}, post_kpis={"a": 0.5}
    )
    assert (done.status, done.success, done.rollback_performed) == (status.strip().lower(), False, False)
    assert done.snapshot_phases == ["pre_evolution"]
    assert set(left_out(done)) == {"rollback_performed"}


async def test_snapshots_of_an_evolution_are_of_its_objective(collector: EvolutionMetricsCollector) -> None:
    await collector.record_evolution_start(
        agent_id="a", evolution_id="e", objective="loss", direction="minimize", pre_kpis={"loss": 0.5}
    )
    await collector.record_kpi_snapshot("a", {"loss": 0.25}, evolution_id="e", phase="post_evolution")
    await collector.record_kpi_snapshot("b", {"accuracy": 0.25}, objective="accuracy", direction="maximize")
    await collector.record_kpi_snapshot("b", {"x": 1.0, "y": 2.0}, direction="pareto")
    found = [e for e in with_snapshots(waiting(collector)) if e.record == "kpi_snapshot"]
    assert [(e.objective, e.direction, e.overall_performance) for e in found] == [  # type: ignore[attr-defined]
        *(("loss", "minimize", 0.5), ("loss", "minimize", 0.25)),
        *(("accuracy", "maximize", 0.25), (None, "pareto", None)),
    ]


async def test_a_nodes_own_history_has_it_too(tmp_path: Path) -> None:
    collector = EvolutionMetricsCollector({"db_path": str(tmp_path / "history.db"), "node_id": "node-1"})
    await collector.start()
    await collector.record_evolution_completion(
        agent_id="a",
        pre_kpis={"loss": 0.5},
        post_kpis={"loss": 0.25},
        objective="loss",
        direction="minimize",
        parent_agent_ids=["p", "q"],
        cost_usd=0.5,
        tokens_in=7,
        candidate_hash="ab" * 32,
        run_id="run",
    )
    query = LocalMetricsQuery(tmp_path / "history.db")
    await until(lambda: collector.outbox_depth == 0)
    (found,) = await query.get_agent_evolution_history("a")
    await query.close()
    await collector.stop()
    assert (found.parent_agent_ids, found.cost_usd, found.tokens_in) == (["p", "q"], 0.5, 7)
    assert (found.objective, found.direction, found.run_id) == ("loss", "minimize", "run")
    assert (found.performance_score, found.improvement_delta) == (0.25, 0.25)
    assert (found.candidate_hash, found.model, found.evaluations) == ("ab" * 32, None, None)
