"""What anything that records evolutions calls: the collector's recording methods as a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Recorder(Protocol):
    """The collector as its callers see it. Each method returns the id of the event that is now on disk,
    None where it was not recorded (invalid, shed); none raises, unless `strict` is set.
    """

    async def record_evolution_start(self, event: object) -> str | None:
        """Record that an evolution begins."""

    async def record_evolution_progress(
        self,
        agent_id: str,
        iteration: int,
        fitness: float | None,
        *,
        evolution_id: str | None = None,
        timestamp: float | None = None,
    ) -> str | None:
        """Record an iteration of an evolution that is under way."""

    async def record_evolution_completion(self, event: object) -> str | None:
        """Record that an evolution has ended."""

    async def record_kpi_snapshot(
        self,
        agent_id: str,
        kpis: Mapping[str, float],
        *,
        phase: str = "continuous",
        evolution_id: str | None = None,
        timestamp: float | None = None,
    ) -> str | None:
        """Record an agent's KPIs."""

    async def record_system_event(self, event_type: str, data: Any = None) -> str | None:
        """Record something about the node or the system."""
