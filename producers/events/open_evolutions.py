"""The evolutions that have started and not completed, and how a completion finds its start."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from evometrics.producers.events.progress import ProgressSampling
from evometrics.producers.events.trajectory import Trajectory
from evometrics.producers.ticks import ticks
from evometrics.schemas.events import EvolutionProgressed, EvolutionStarted
from evometrics.schemas.evolutions.snapshots import snapshot_id

logger = logging.getLogger(__name__)

#: Evolutions that never complete must not fill the memory: the oldest are forgotten (they stay on disk).
MOST_ACTIVE = 10_000
#: A start within this many seconds of the beginning that a completion implies belongs to it; so does a start
#: closer than the evolution's duration.
NEAR = 2.0
UNKNOWN = "unknown"


@dataclass(slots=True, eq=False)
class ActiveEvolution:
    """An evolution that has started and not completed: its start, and data from its progress.

    Attributes:
        started: the event that was recorded.
        begun: `ticks()` when it was recorded.
        begun_at: the node's clock then, Unix seconds.
        live: whether the start's own time was that of the clock.
        called, returned: `ticks()` when the caller passed the start in, and when it got the start's id (None
            until then).
        fitness: fitness by iteration, from the progress reported.
        reported, recorded: how many iterations were reported, and how many of them became events.
        snapshots: phases of which the caller recorded a snapshot of this evolution, with KPIs and event id.
        held: the last report, if it has not become an event.
        taken_at: `ticks()` of the last report that became an event.
        key: its key among the open ones: its id, unless another agent's evolution with that id is open.
    """

    started: EvolutionStarted
    begun: float
    begun_at: float
    live: bool
    called: float
    returned: float | None = None
    fitness: Trajectory = field(default_factory=Trajectory)
    reported: int = 0
    recorded: int = 0
    snapshots: dict[str, tuple[dict[str, float], str]] = field(default_factory=dict)
    held: EvolutionProgressed | None = None
    taken_at: float = 0.0
    key: str = ""

    def off(self, at: float) -> float:
        """Return how far a time is from the beginning of the evolution, seconds.

        It began somewhere between the start's own time and the moment when the caller could continue, which
        may be late because the collector was just starting or the disk was slow.
        """
        begun = self.started.occurred_at / 1e6
        kept_waiting = (ticks() if self.returned is None else self.returned) - self.called
        return max(begun - at, at - begun - kept_waiting, 0.0)

    def snapshot_of(self, phase: str) -> tuple[dict[str, float], str] | None:
        """Return the KPIs and the event id of a phase's snapshot; None where there is none."""
        recorded = self.snapshots.get(phase)
        if recorded is None and phase in self.started.snapshot_phases:
            return self.started.pre_kpis, snapshot_id(self.started.event_id, phase)
        return recorded

    def take_progress(self, event: EvolutionProgressed, sampling: ProgressSampling) -> bool:
        """Add a report; return whether it becomes an event now."""
        if not event.unmeasured:
            self.fitness.append(event.fitness)
        now = ticks()
        due = sampling.due(self.reported, now - self.taken_at)
        self.reported += 1
        if due:
            self.held, self.taken_at = None, now
            self.recorded += 1
        else:
            self.held = event
        return due

    def last_progress(self) -> EvolutionProgressed | None:
        """Return the last report if it has not become an event; the caller makes it one."""
        held, self.held = self.held, None
        if held is not None:
            self.recorded += 1
        return held


class Clues(NamedTuple):
    """What an event says about which evolution it belongs to; None or empty = nothing.

    Attributes:
        agent_id, evolution_id: as text.
        at, duration: its time, Unix seconds, and how long the evolution took, seconds (by a clock that may
            have been set meanwhile, so it may be below 0).
        evolution_type: the evolution's type.
    """

    agent_id: str = ""
    evolution_id: str = ""
    at: float | None = None
    duration: float | None = None
    evolution_type: str = ""


class ActiveEvolutions(dict[str, ActiveEvolution]):
    """Open evolutions by evolution_id, oldest first. Thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.by_agent: dict[str, dict[str, ActiveEvolution]] = {}

    def open(self, evolution: ActiveEvolution) -> list[ActiveEvolution]:
        """Add one; return those that were forgotten to make room."""
        started = evolution.started
        with self.lock:
            before = self.by_agent.get(started.agent_id, {}).get(started.evolution_id)
            if before is not None:
                self.take_out(before)
            taken = started.evolution_id in self  # by another agent, where all of a night's share an id
            evolution.key = named(started) if taken else started.evolution_id
            self[evolution.key] = evolution
            self.by_agent.setdefault(started.agent_id, {})[started.evolution_id] = evolution
            forgotten = list(islice(self.values(), max(0, len(self) - MOST_ACTIVE)))
            for old in forgotten:
                self.take_out(old)
        if forgotten:
            logger.warning(
                "%d evolutions are open; dropped the start of %s",
                MOST_ACTIVE,
                forgotten[0].started.evolution_id,
            )
        return forgotten

    def of(self, agent_id: str, evolution_id: str) -> ActiveEvolution | None:
        """Return an agent's open evolution; without an agent, the one with that id."""
        if not agent_id:
            return self.get(evolution_id)
        return self.by_agent.get(agent_id, {}).get(evolution_id)

    def find(self, clues: Clues) -> ActiveEvolution | None:
        """Return the open start that an event belongs to.

        The one with the event's evolution_id. Without an id, the agent's start at exactly the event's time
        (one object serves as both); else, where the event says how long the evolution took, the start closest
        to its time minus the duration (`ActiveEvolution.off`); else the agent's newest of the type, or of no
        type. A start of another type, or too far off, belongs to another evolution: no start is better than a
        wrong one.
        """
        if not self:
            return None
        with self.lock:
            if clues.evolution_id:
                return self.of(clues.agent_id, clues.evolution_id)
            own = list(reversed(self.by_agent.get(clues.agent_id, {}).values()))
        if not own:
            return None
        kind = clues.evolution_type
        newest = None if contradicts(own[0].started.evolution_type, kind) else own[0]
        own = [e for e in own if not contradicts(e.started.evolution_type, kind)]
        if clues.at is not None:
            at = round(clues.at * 1e6)
            # of several with one time, the first that was opened
            same_time = next((e for e in reversed(own) if e.started.occurred_at == at), None)
            if same_time is not None:
                return same_time
            if clues.duration is not None and own:
                begun = clues.at - clues.duration
                nearest = min(own, key=lambda e: (e.off(begun), abs(e.started.occurred_at / 1e6 - begun)))
                return nearest if nearest.off(begun) <= max(NEAR, abs(clues.duration)) else None
        return next((e for e in own if e.started.evolution_type == kind), newest)

    def close(self, evolution: ActiveEvolution) -> None:
        """Remove an evolution once it has completed."""
        with self.lock:
            if self.get(evolution.key) is evolution:
                self.take_out(evolution)

    def take_out(self, evolution: ActiveEvolution) -> None:
        started = evolution.started
        del self[evolution.key]
        of_agent = self.by_agent[started.agent_id]
        del of_agent[started.evolution_id]
        if not of_agent:
            del self.by_agent[started.agent_id]


def named(started: EvolutionStarted) -> str:
    """Return the key of an evolution whose id is also another agent's."""
    return f"{started.agent_id}\x1f{started.evolution_id}"


def contradicts(one: str, other: str) -> bool:
    """Return whether two types of evolution are both known and differ."""
    return bool(one and other) and UNKNOWN not in (one, other) and one != other
