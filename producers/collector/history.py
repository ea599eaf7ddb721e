"""The completions of this process as the specification's `metrics_history` presents them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, overload

from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.evolutions.outcome import difference, efficiency, relative
from evometrics.schemas.kpis.performance import performance
from evometrics.schemas.wire.framing import WireFormat

#: Completions that are kept; ClickHouse has all of them.
MOST = 1000

#: Divisors for figures whose unit in the specification differs from the event's.
SECONDS_PER_MINUTE, MICROS = 60.0, 1e6


class CompletionHistory(Sequence["HistoryEntry"]):
    """The last completions, oldest first.

    They are kept encoded and decoded on access: with thousands of medium-lived objects Python's garbage
    collector would scan all objects of the process again and again.
    """

    def __init__(self, wire: WireFormat) -> None:
        self.wire = wire
        self.values: deque[bytes] = deque(maxlen=MOST)

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, place: int) -> HistoryEntry: ...

    @overload
    def __getitem__(self, place: slice) -> list[HistoryEntry]: ...

    def __getitem__(self, place: int | slice) -> HistoryEntry | list[HistoryEntry]:
        if isinstance(place, slice):
            return [self.entry(value) for value in list(self.values)[place]]
        return self.entry(self.values[place])

    def entry(self, value: bytes) -> HistoryEntry:
        """Return the completion of a message value."""
        event = self.wire.decode(value)
        assert isinstance(event, EvolutionCompleted)
        return HistoryEntry(event)

    def __repr__(self) -> str:
        return f"<the last {len(self)} completions>"


class HistoryEntry:
    """One completion: every field of `EvolutionCompleted`, and the specification's figures.

    A figure that was not measured is None: see `unmeasured` of the event.
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
        """The delta as a fraction of the performance before; None where that is 0 or unknown."""
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
