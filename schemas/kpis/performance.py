"""The KPIs and the formulas over them: one definition for producers, streams and replay.

Source: design section 5. The weighting itself is in `formula`. All functions are pure; a KPI map may have any
names, unknown ones are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evometrics.schemas.kpis.formula import ABSENT, weighted_performance

KPI_NAMES: tuple[str, ...] = (
    "accuracy",
    "response_time_ms",
    "throughput_tps",
    "success_rate",
    "memory_usage_mb",
    "cpu_utilization",
    "energy_efficiency",
    "adaptation_rate",
    "knowledge_retention",
    "generalization_ability",
    "output_quality",
    "consistency",
    "reliability",
    "security_score",
    "bias_score",
    "interpretability",
)

RETAIN, EVOLVE, RETIRE = "retain", "evolve", "retire"
#: Which way an objective gets better; the last: several KPIs are optimized, each its own way.
MAXIMIZE, MINIMIZE, PARETO = "maximize", "minimize", "pareto"
DIRECTIONS = (MAXIMIZE, MINIMIZE, PARETO)


@dataclass(frozen=True, slots=True)
class KpiThresholds:
    """Where an agent is retired or evolved (design section 5); shares are 0-1, times milliseconds."""

    retire_below: float = 0.5
    retire_success_rate: float = 0.3
    retire_reliability: float = 0.4
    retire_accuracy: float = 0.4
    evolve_from: float = 0.6
    evolve_below: float = 0.8
    evolve_adaptation_rate: float = 0.6
    evolve_energy_efficiency: float = 0.7
    evolve_response_time_ms: float = 5000.0


USUAL = KpiThresholds()

#: The formula's KPIs, in the order of the arguments of `formula.weighted`.
FORMULA_KPIS = (
    "accuracy",
    "success_rate",
    "response_time_ms",
    "throughput_tps",
    "memory_usage_mb",
    "cpu_utilization",
    "output_quality",
    "reliability",
)
IN_FORMULA = frozenset(FORMULA_KPIS)
#: Each with the value that it counts as where it is absent.
FORMULA = tuple(zip(FORMULA_KPIS, ABSENT, strict=True))


def overall_performance(kpis: Mapping[str, float]) -> float | None:
    """Return the weighted performance, clamped to 0-1; None where the map has no KPI of the formula.

    An absent KPI adds nothing: the weights of the others stay the same, so that two maps with the same names
    are comparable.
    """
    if IN_FORMULA.isdisjoint(kpis):
        return None
    return weighted_performance([kpis.get(name, absent) for name, absent in FORMULA])


def performance(kpis: Mapping[str, float]) -> float | None:
    """Return a KPI map's performance: its `performance`, else `overall_performance`, else the formula."""
    given = kpis.get("performance", kpis.get("overall_performance"))
    return overall_performance(kpis) if given is None else given


def scored(kpis: Mapping[str, float], objective: str | None, direction: str | None) -> float | None:
    """Return the performance of KPIs that are optimized for a stated objective, else `performance`.

    It is the objective's value, in its own unit; None where it was not measured, or several are optimized.
    """
    if direction == PARETO:
        return None
    return performance(kpis) if objective is None else kpis.get(objective)


def improvement(after: float | None, before: float | None, direction: str | None) -> float | None:
    """Return how much better a performance got, None where either is unknown."""
    if after is None or before is None:
        return None
    return before - after if direction == MINIMIZE else after - before


def judged(objective: str | None, direction: str | None) -> bool:
    """Return whether the thresholds apply: to shares of 1 that are to grow, not to a stated objective."""
    return objective is None and direction is None


def should_retire(
    kpis: Mapping[str, float],
    thresholds: KpiThresholds | None = None,
    *,
    objective: str | None = None,
    direction: str | None = None,
) -> bool:
    """Return whether to give an agent up; a KPI that was not measured counts neither way.

    Never where an objective or its direction is stated: the thresholds say nothing about a loss.
    """
    return recommendation(kpis, thresholds, objective=objective, direction=direction) == RETIRE


def should_evolve(
    kpis: Mapping[str, float],
    thresholds: KpiThresholds | None = None,
    *,
    objective: str | None = None,
    direction: str | None = None,
) -> bool:
    """Return whether an agent that need not retire can gain from an evolution; never for an objective."""
    return recommendation(kpis, thresholds, objective=objective, direction=direction) == EVOLVE


def recommendation(
    kpis: Mapping[str, float],
    thresholds: KpiThresholds | None = None,
    *,
    objective: str | None = None,
    direction: str | None = None,
) -> str:
    """Return retire, evolve or retain; with an objective or its direction always retain."""
    return recommended(kpis, performance(kpis), thresholds) if judged(objective, direction) else RETAIN


def recommended(
    kpis: Mapping[str, float], overall: float | None, thresholds: KpiThresholds | None = None
) -> str:
    """Return the recommendation for KPIs whose overall performance is known."""
    t = thresholds or USUAL
    if past_saving(kpis, overall, t):
        return RETIRE
    return EVOLVE if can_gain(kpis, overall, t) else RETAIN


def past_saving(kpis: Mapping[str, float], overall: float | None, t: KpiThresholds) -> bool:
    return (
        (overall is not None and overall < t.retire_below)
        or below(kpis, "success_rate", t.retire_success_rate)
        or below(kpis, "reliability", t.retire_reliability)
        or below(kpis, "accuracy", t.retire_accuracy)
    )


def can_gain(kpis: Mapping[str, float], overall: float | None, t: KpiThresholds) -> bool:
    return (
        (overall is not None and t.evolve_from <= overall < t.evolve_below)
        or below(kpis, "adaptation_rate", t.evolve_adaptation_rate)
        or below(kpis, "energy_efficiency", t.evolve_energy_efficiency)
        or kpis.get("response_time_ms", 0.0) > t.evolve_response_time_ms
    )


def below(kpis: Mapping[str, float], name: str, limit: float) -> bool:
    """Return whether a KPI was measured and is below the limit."""
    value = kpis.get(name)
    return value is not None and value < limit
