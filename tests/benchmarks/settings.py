"""What a run of the benchmarks is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """How large and how often; None = as the benchmark sees fit.

    Attributes:
        folder: where brokers and databases write; emptied after each benchmark.
        rounds: how often each contender's turn comes.
        events: events of a round.
        agents: agents they are of.
        seed: of ids, agents and every value.
        seconds: how long load is offered, where it is for a time.
        rate: events a second offered at most, where load is offered.
        milestones: events after which growth is looked at.
        fleets: numbers of agents at which growth is looked at.
        quick: sizes that show that everything works, not how fast it is.
    """

    folder: Path
    rounds: int | None = None
    events: int | None = None
    agents: int = 1000
    seed: int = 1
    seconds: float | None = None
    rate: float | None = None
    milestones: tuple[int, ...] | None = None
    fleets: tuple[int, ...] | None = None
    quick: bool = False

    def sized(self, *, events: int, quick_events: int, rounds: int = 3) -> tuple[int, int]:
        """Return events and rounds: as asked for, else a benchmark's own."""
        own = quick_events if self.quick else events
        return self.events or own, self.rounds or (1 if self.quick else rounds)

    def inside(self, name: str) -> Settings:
        """Return the same with a folder of its own below."""
        return replace(self, folder=self.folder / name)
