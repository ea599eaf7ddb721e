"""An agent's KPIs as the specification's dataclass, over the formulas of `schemas.kpis`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from evometrics.schemas.kpis import performance as kpis
from evometrics.schemas.kpis.performance import KpiThresholds


@dataclass(slots=True, kw_only=True)
class AgentKPI:
    """An agent's 18 KPIs of the specification; None = not measured.

    Shares and scores are 0-1, `response_time_ms` milliseconds, `throughput_tps` tasks a second,
    `memory_usage_mb` MB (10^6 bytes), `confidence_interval` half the width of accuracy's 95 % interval.
    """

    agent_id: str | None = None
    accuracy: float | None = None
    response_time_ms: float | None = None
    throughput_tps: float | None = None
    success_rate: float | None = None
    memory_usage_mb: float | None = None
    cpu_utilization: float | None = None
    energy_efficiency: float | None = None
    adaptation_rate: float | None = None
    knowledge_retention: float | None = None
    generalization_ability: float | None = None
    output_quality: float | None = None
    consistency: float | None = None
    reliability: float | None = None
    security_score: float | None = None
    bias_score: float | None = None
    interpretability: float | None = None
    evaluation_count: int | None = None
    confidence_interval: float | None = None

    def measured(self) -> dict[str, float]:
        """Return the KPIs that were measured, by name."""
        values = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self) if f.name != "agent_id")
        return {name: value for name, value in values if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return the measured KPIs by name, with the agent's id and the overall performance where known."""
        found: dict[str, Any] = {} if self.agent_id is None else {"agent_id": self.agent_id}
        found |= self.measured()
        overall = kpis.overall_performance(self.measured())
        return found if overall is None else {**found, "overall_performance": overall}

    def overall_performance(self) -> float:
        """Return the weighted performance, 0-1 (design section 5); 0 where nothing was measured."""
        return kpis.overall_performance(self.measured()) or 0.0

    def should_retire(self, threshold: float = 0.5) -> bool:
        """Return whether to give the agent up: overall below the threshold, or a KPI below its floor."""
        return kpis.should_retire(self.measured(), KpiThresholds(retire_below=threshold))

    def should_evolve(self, threshold: float = 0.6) -> bool:
        """Return whether the agent need not retire and can still improve."""
        return kpis.should_evolve(self.measured(), KpiThresholds(evolve_from=threshold))
