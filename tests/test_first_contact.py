"""Orchestrators as people write them, against the whole pipeline: what they did is what ClickHouse says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from evometrics.producers import EvolutionCompletionEvent, EvolutionEvent, EvolutionMetricsCollector
from tests.support.stack import Running, running_stack
from tests.support.tables import rows

ABANDONED_AFTER = 8
#: By when the clock must have said that an evolution is abandoned, seconds after that.
WITHIN = 60
AGENTS = 20


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("first-contact") / "data"
    with running_stack(
        folder, partitions=3, EVOMETRICS_STREAM_ABANDONED_AFTER_SECONDS=str(ABANDONED_AFTER)
    ) as running:
        yield running


class TheirKpi:
    """A KPI engine's object, whose dictionary has more than numbers."""

    def __init__(self, agent_id: str, performance: float) -> None:
        self.agent_id = agent_id
        self.performance = performance

    def to_dict(self) -> dict[str, Any]:
        return {
            "agent_id": self.agent_id,
            "performance": self.performance,
            "accuracy": None,
            "loss": float("nan"),
            "reliability": 0.9,
        }


class TheirAgent:
    def __init__(self, agent_id: str, performances: tuple[float, float]) -> None:
        self.agent_id = agent_id
        self.performances = iter(performances)

    def evaluate_kpi(self) -> TheirKpi:
        return TheirKpi(self.agent_id, next(self.performances))


class NightlyEvolutionOrchestrator:
    """Integration point A of the specification, word for word except for the evolution itself."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    async def evolve_agent(self, agent: TheirAgent) -> bool:
        # Initialize metrics collector if not exists
        if not hasattr(self, "metrics_collector"):
            self.metrics_collector = EvolutionMetricsCollector(self.config)
            await self.metrics_collector.start()

        # Record evolution start
        evolution_event = EvolutionEvent(
            agent_id=agent.agent_id,
            timestamp=time.time(),
            pre_evolution_kpis=agent.evaluate_kpi().to_dict(),
        )
        await self.metrics_collector.record_evolution_start(evolution_event)

        begun = time.time()
        await asyncio.sleep(0.05)
        post_kpis = agent.evaluate_kpi()
        success = True
        elapsed_time = time.time() - begun

        # Record completion
        completion_event = EvolutionCompletionEvent(
            agent_id=agent.agent_id,
            timestamp=time.time(),
            success=success,
            post_evolution_kpis=post_kpis.to_dict(),
            duration_seconds=elapsed_time,
        )
        await self.metrics_collector.record_evolution_completion(completion_event)
        return success


def test_the_specifications_orchestrator_with_twenty_agents_at_once(stack: Running, tmp_path: Path) -> None:
    config = {
        "brokers": stack.brokers,
        "node_id": "spec",
        "db_path": str(tmp_path / "evolution_metrics.db"),
        "population_size": AGENTS,
    }
    performances = [(i / 100, i / 100 + (i - 5) / 200) for i in range(AGENTS)]

    async def night() -> None:
        orchestrator = NightlyEvolutionOrchestrator(config)
        agents = [TheirAgent(f"spec-{i}", both) for i, both in enumerate(performances)]
        assert all(await asyncio.gather(*map(orchestrator.evolve_agent, agents)))
        await orchestrator.metrics_collector.stop()

    asyncio.run(night())
    stack.drained()
    mine = {
        record: [r for r in rows(stack.clickhouse_url, record).values() if r["agent_id"].startswith("spec-")]
        for record in (
            "evolution_started",
            "evolution_completed",
            "evolution_metrics",
            "kpi_snapshot",
            "kpi_delta",
        )
    }
    assert [len(found) for found in mine.values()] == [AGENTS, AGENTS, AGENTS, 2 * AGENTS, 2 * AGENTS]
    for row in mine["evolution_metrics"]:
        before, after = performances[int(row["agent_id"].removeprefix("spec-"))]
        assert row["improvement_delta"] == pytest.approx(after - before)
        assert row["kpi_deltas"] == pytest.approx({"performance": after - before, "reliability": 0.0})
        assert 0 < row["duration_minutes"] < 2
        assert (row["success"], row["status"]) == (True, "succeeded")
    for row in mine["kpi_delta"]:
        if row["previous_event_id"] is not None:
            before, after = performances[int(row["agent_id"].removeprefix("spec-"))]
            assert row["overall_delta"] == pytest.approx(after - before)
    assert rows(stack.clickhouse_url, "dead_letter") == {}


def test_any_program_is_an_evolution_whose_killed_recording_is_abandoned_by_the_clock(
    stack: Running, tmp_path: Path
) -> None:
    """The stack on `--data` is found; the program is told which broker it is, too."""
    record = [sys.executable, "-m", "evometrics.deploy.cli", "record", "--data", str(stack.data)]
    fit = """echo '{"accuracy": 0.9, "cost_usd": 0.5}'; test -n "$EVOMETRICS_KAFKA_BROKERS" """
    flags = ["--agent-id", "fit-1", "--run-id", "night-1", "--strategy", "tune", "--parent", "fit-0"]
    command = [*record, *flags, "--pre-kpis", '{"accuracy": 0.8}', "--", "sh", "-c", fit]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert not list(tmp_path.glob("*.db*")), "all is sent, and there is no history beside the broker"
    killed = subprocess.Popen([*record, "--agent-id", "fit-2", "--", "sleep", "600"], cwd=tmp_path)

    def mine(table: str, agent: str) -> list[dict[str, Any]]:
        return [row for row in rows(stack.clickhouse_url, table).values() if row["agent_id"] == agent]

    try:
        until = time.monotonic() + WITHIN
        while not mine("evolution_started", "fit-2"):
            assert time.monotonic() < until
            time.sleep(0.2)
        (child,) = psutil.Process(killed.pid).children()
    finally:
        killed.kill()
        killed.wait()
    child.kill()
    (row,) = mine("evolution_metrics", "fit-1")
    assert (row["status"], row["strategy_used"], row["run_id"]) == ("succeeded", "tune", "night-1")
    assert (row["cost_usd"], row["parent_agent_ids"]) == (0.5, ["fit-0"])
    assert row["kpi_deltas"] == pytest.approx({"accuracy": 0.1})
    until = time.monotonic() + ABANDONED_AFTER + WITHIN
    while not (found := mine("evolution_metrics", "fit-2")):
        assert time.monotonic() < until
        time.sleep(0.5)
    assert [each["status"] for each in found] == ["abandoned"]


CROSS = """
import asyncio, sys
from evometrics.producers import EvolutionMetricsCollector
async def main(brokers, path, step):
    c = EvolutionMetricsCollector({"brokers": brokers, "node_id": "cross", "db_path": path})
    if step == "start":
        await c.record_evolution_start(
            agent_id="cross", evolution_id="cross-1", evolution_type="nightly", strategy="splice",
            risk_level="high", pre_evolution_kpis={"performance": 0.25})
    else:
        await c.record_evolution_completion(
            agent_id="cross", evolution_id="cross-1", success=True, post_evolution_kpis={"performance": 0.75})
    await c.start()
    await c.stop()
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("steps", [("start", "end"), ("end", "start")], ids=" first, then ".join)
def test_an_evolution_completed_by_another_process_has_what_its_start_knew(
    stack: Running, tmp_path: Path, steps: tuple[str, str]
) -> None:
    own = f"cross-{steps[0]}"
    script = CROSS.replace("cross", own)
    for step in steps:
        argv = [sys.executable, "-c", script, stack.brokers, str(tmp_path / f"{step}.db"), step]
        subprocess.run(argv, check=True, timeout=60)
        stack.drained()
    (row,) = [r for r in rows(stack.clickhouse_url, "evolution_metrics").values() if r["agent_id"] == own]
    assert (row["evolution_type"], row["strategy_used"], row["risk_level"]) == ("nightly", "splice", "high")
    assert (row["baseline_performance"], row["improvement_delta"], row["status"]) == (0.25, 0.5, "succeeded")


def test_an_evolution_that_died_with_its_node_is_abandoned_by_the_clock(
    stack: Running, tmp_path: Path
) -> None:
    async def die() -> None:
        config = {"brokers": stack.brokers, "node_id": "dead", "db_path": str(tmp_path / "e.db")}
        collector = EvolutionMetricsCollector(config)
        await collector.start()
        for number in range(5):
            await collector.record_evolution_start(agent_id=f"dead-{number}", strategy="tune")
        await collector.stop()

    asyncio.run(die())
    deadline = time.monotonic() + ABANDONED_AFTER + WITHIN
    found: list[dict[str, Any]] = []
    while len(found) < 5 and time.monotonic() < deadline:
        time.sleep(0.5)
        metrics = rows(stack.clickhouse_url, "evolution_metrics").values()
        found = [row for row in metrics if row["agent_id"].startswith("dead-")]
    assert [(row["status"], row["strategy_used"]) for row in found] == [("abandoned", "tune")] * 5
