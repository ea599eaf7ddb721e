"""Settings and result of nightly runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evometrics.producers.orchestrator.evolution import EvolutionOutcome
from evometrics.producers.orchestrator.schedule import NightlySchedule
from evometrics.schemas.service.settings import require


@dataclass(frozen=True, slots=True)
class OrchestratorSettings:
    """How agents are evolved (section "orchestrator").

    Attributes:
        run_at: local time at which a night begins, HH:MM.
        time_zone: IANA name of the zone of `run_at`.
        min_gain: least rise of performance (0-1) for which a result is kept.
        exploration: share of evolutions (0-1) whose strategy is drawn rather than chosen.
        concurrency: agents evolved at the same time.
        snapshot_interval: seconds between two continuous snapshots of an agent; 0 = none.
        seed: of every random draw.
    """

    run_at: str = "02:00"
    time_zone: str = "UTC"
    min_gain: float = 0.005
    exploration: float = 0.2
    concurrency: int = 1
    snapshot_interval: float = 300.0
    seed: int = 0

    def __post_init__(self) -> None:
        NightlySchedule.parse(self.run_at, self.time_zone)
        require(0 <= self.min_gain <= 1, "min_gain", self.min_gain, "must be within 0 and 1")
        require(0 <= self.exploration <= 1, "exploration", self.exploration, "must be within 0 and 1")
        require(self.concurrency > 0, "concurrency", self.concurrency, "must be at least 1")
        interval = self.snapshot_interval
        require(0 <= interval < 1e9, "snapshot_interval", interval, "must not be negative; 0 = none")


@dataclass(frozen=True, slots=True)
class NightReport:
    """Result of one night, or of several added up.

    Attributes:
        agents: agents in the pool at the end.
        seconds: duration of the nights.
    """

    evolutions: int = 0
    succeeded: int = 0
    rolled_back: int = 0
    failed: int = 0
    retired: int = 0
    agents: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, outcomes: Iterable[EvolutionOutcome], *, agents: int, seconds: float) -> NightReport:
        all_of = list(outcomes)
        return cls(
            evolutions=len(all_of),
            succeeded=sum(o.status == "succeeded" for o in all_of),
            rolled_back=sum(o.status == "rolled_back" for o in all_of),
            failed=sum(o.status == "failed" for o in all_of),
            retired=sum(o.retired for o in all_of),
            agents=agents,
            seconds=seconds,
        )

    def __add__(self, later: NightReport) -> NightReport:
        return NightReport(
            evolutions=self.evolutions + later.evolutions,
            succeeded=self.succeeded + later.succeeded,
            rolled_back=self.rolled_back + later.rolled_back,
            failed=self.failed + later.failed,
            retired=self.retired + later.retired,
            agents=later.agents,
            seconds=self.seconds + later.seconds,
        )
