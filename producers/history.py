"""The completions of this process as the specification's `metrics_history` has them."""

from __future__ import annotations

from typing import Any

from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.kpis import performance
from evometrics.schemas.outcome import difference, efficiency, relative

#: A figure's name in the specification, where it is another than the event's.
SECONDS_PER_MINUTE, MICROS = 60.0, 1e6


class HistoryEntry:
    """One completion: every field of `EvolutionCompleted`, and the specification's figures.

    What was not measured is None: see `unmeasured` of the event.
    """

    __slots__ = ("event",)

    def __init__(self, event: EvolutionCompleted) -> None:
        self.event = event

    def __getattr__(self, name: str) -> Any:
        if name == "event":  # while it is being copied or unpickled
            raise AttributeError(name)
        value = getattr(self.event, name)
        return None if name in self.event.unmeasured else value

    def __eq__(self, other: object) -> bool:
        return self.event == (other.event if isinstance(other, HistoryEntry) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"HistoryEntry({self.event!r})"

    @property
    def timestamp(self) -> float:
        """When it ended, Unix seconds."""
        return self.event.occurred_at / MICROS

    @property
    def duration_minutes(self) -> float | None:
        """How long it took, minutes."""
        seconds = self.duration_seconds
        return None if seconds is None else seconds / SECONDS_PER_MINUTE

    @property
    def performance_score(self) -> float | None:
        """Performance after (design section 5)."""
        return performance(self.event.post_kpis)

    @property
    def baseline_performance(self) -> float | None:
        """Performance before."""
        return performance(self.event.pre_kpis)

    @property
    def improvement_delta(self) -> float | None:
        """Performance after minus before; None where either is unknown."""
        return difference(self.performance_score, self.baseline_performance)

    @property
    def relative_improvement(self) -> float | None:
        """The delta as a share of the performance before; None where that is 0 or unknown."""
        return relative(self.improvement_delta, self.baseline_performance)

    @property
    def quality_score(self) -> float | None:
        """The KPI output_quality after."""
        return self.event.post_kpis.get("output_quality")

    def calculate_efficiency(self) -> float:
        """Return the specification's efficiency: delta per minute and GB; 0 where one is not above 0."""
        return efficiency(self.improvement_delta, self.duration_minutes or 0.0, self.memory_used_mb or 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return all figures by name; times in Unix seconds."""
        found = {name: getattr(self, name) for name in self.event.to_record()}
        for name in FIGURES:
            found[name] = getattr(self, name)
        found["started_at"] = self.event.started_at / MICROS
        del found["occurred_at"]
        return found


FIGURES = (
    "timestamp",
    "duration_minutes",
    "performance_score",
    "baseline_performance",
    "improvement_delta",
    "relative_improvement",
    "quality_score",
)
