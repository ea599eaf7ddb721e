"""The collector's recording methods as a protocol, for everything that records evolutions."""

from __future__ import annotations

from typing import Protocol


class Recorder(Protocol):
    """The collector as its callers see it. Each method returns the id of the event that is now on disk, None
    where it was not recorded (it names no agent, or was shed); none raises, unless `strict` is set.
    """

    async def record_evolution_start(self, event: object) -> str | None:
        """Record that an evolution begins."""

    async def record_evolution_progress(
        self,
        agent_id: object,
        iteration: object = None,
        fitness: object = None,
        *,
        evolution_id: object = None,
        timestamp: object = None,
        **metadata: object,
    ) -> str | None:
        """Record an iteration of a running evolution."""

    async def record_evolution_completion(self, event: object) -> str | None:
        """Record that an evolution has ended."""

    async def record_kpi_snapshot(
        self,
        agent_id: object,
        kpis: object,
        *,
        phase: object = "continuous",
        evolution_id: object = None,
        timestamp: object = None,
    ) -> str | None:
        """Record an agent's KPIs."""

    async def record_system_event(self, event_type: object, data: object = None) -> str | None:
        """Record something about the node or the system."""
