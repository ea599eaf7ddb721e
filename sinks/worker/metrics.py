"""Metrics of evolutions and agents, counted by the sink from the rows it has stored.

Totals have no agent, are few, and are what rates and increases are taken of. An agent's series are there for
the agents that `AgentBook` chooses.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from evometrics.schemas.service.agent_series import AgentSeries
from evometrics.sinks.worker.nodes import NodesHeard
from evometrics.sinks.worker.totals import EvolutionTotals


class StoredMetrics(AgentSeries):
    """The agents that have series of their own, the totals, and the nodes."""

    def __init__(self, agents: int, forget_seconds: float) -> None:
        """`agents`, `forget_seconds`: as in `AgentBook`."""
        super().__init__(agents, forget_seconds)
        self.totals = EvolutionTotals()
        self.nodes = NodesHeard(forget_seconds)

    def register(self, registry: CollectorRegistry) -> None:
        """Have all of them in a registry, the agents' last."""
        for collector in (self.totals, self.nodes, self):
            registry.register(collector)
