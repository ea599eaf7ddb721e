"""The agents of an orchestrator: added with a baseline, retired with a record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from evometrics.producers.collector.collector import EvolutionMetricsCollector
from evometrics.producers.orchestrator.agent import EvolvableAgent, aim, call, measure
from evometrics.schemas.kpis.performance import KpiThresholds, below, performance, scored

log = logging.getLogger(__name__)

#: Returns the successor of the agent with this id; the successor has an id of its own.
Replace = Callable[[str], EvolvableAgent]


@dataclass(slots=True)
class PooledAgent:
    """An agent, the number of its evolutions, and the lock under which its methods are called.

    `parent_agent_id` is the agent whose state it has, until an evolution of its own is kept.
    """

    agent: EvolvableAgent
    generation: int = 0
    parent_agent_id: str | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class AgentPool:
    """Agents by id; a snapshot of the pool can be iterated while agents come and go."""

    def __init__(self, collector: EvolutionMetricsCollector, replace: Replace | None = None) -> None:
        self._collector = collector
        self._replace = replace
        self._agents: dict[str, PooledAgent] = {}

    def __len__(self) -> int:
        return len(self._agents)

    def __iter__(self) -> Iterator[PooledAgent]:
        return iter(tuple(self._agents.values()))

    def __contains__(self, agent_id: object) -> bool:
        return agent_id in self._agents

    def __getitem__(self, agent_id: str) -> PooledAgent:
        try:
            return self._agents[agent_id]
        except KeyError:
            raise KeyError(f"agent {agent_id!r} is not in the pool; add it first") from None

    async def add(self, agent: EvolvableAgent) -> None:
        """Add an agent and record its baseline snapshot.

        Raises `TypeError` where it is not an `EvolvableAgent` or returns no KPI map, `ValueError` where its
        id is empty or taken or a KPI is not finite, and whatever its `evaluate_kpi` raises; it is then not
        added.
        """
        if not isinstance(agent, EvolvableAgent):
            raise TypeError(
                f"{type(agent).__name__} can't be evolved; it needs agent_id, evaluate_kpi, export_state, "
                "apply_strategy and roll_back (see EvolvableAgent)"
            )
        if not isinstance(agent.agent_id, str) or not agent.agent_id:
            raise ValueError(f"agent_id {agent.agent_id!r}: give the agent a non-empty text of its own")
        if agent.agent_id in self._agents:
            raise ValueError(f"agent {agent.agent_id}: already in the pool; give each agent its own id")
        kpis = await measure(agent)
        objective, direction = aim(agent)
        await self._collector.record_kpi_snapshot(
            agent.agent_id, kpis, phase="baseline", objective=objective, direction=direction
        )
        parent = getattr(agent, "parent_agent_id", None)
        self._agents[agent.agent_id] = PooledAgent(agent, parent_agent_id=parent)

    async def retire(self, agent_id: str, reason: str, kpis: Mapping[str, float]) -> None:
        """Remove an agent, record `agent_retired`, and add its successor if there is one."""
        pooled = self._agents.pop(agent_id)
        score = scored(kpis, *aim(pooled.agent))
        await self._collector.record_system_event(
            "agent_retired",
            {"agent_id": agent_id, "reason": reason, "generation": pooled.generation, "performance": score},
        )
        if self._replace is not None:
            try:
                successor = await call(self._replace, agent_id)
                await self.add(successor)
            except Exception:
                log.exception(
                    "agent %s is retired and has no successor; the pool continues without one", agent_id
                )
                return
            await self._collector.record_system_event(
                "agent_born", {"agent_id": successor.agent_id, "replaces": agent_id}
            )


def why_retire(kpis: Mapping[str, float], thresholds: KpiThresholds) -> str:
    """Return the limits that an agent falls short of, e.g. `accuracy 0.31 < 0.4`; empty if none."""
    score = performance(kpis)
    reasons = []
    if score is not None and score < thresholds.retire_below:
        reasons.append(f"performance {score:.3g} < {thresholds.retire_below}")
    for name, limit in (
        ("success_rate", thresholds.retire_success_rate),
        ("reliability", thresholds.retire_reliability),
        ("accuracy", thresholds.retire_accuracy),
    ):
        if below(kpis, name, limit):
            reasons.append(f"{name} {kpis[name]:.3g} < {limit}")
    return ", ".join(reasons)
