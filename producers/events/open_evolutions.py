"""The evolutions that have started and not completed, and which of them a completion belongs to."""

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

#: Evolutions that never complete must not fill the memory: the oldest are forgotten (on disk they stay).
MOST_ACTIVE = 10_000
#: A start that lies this near to where a completion says it began, in seconds, is its own; so is one that is
#: nearer than the evolution lasted.
NEAR = 2.0
UNKNOWN = "unknown"


@dataclass(slots=True, eq=False)
class ActiveEvolution:
    """An evolution that has started and not completed: its start, and what its progress gave.

    Attributes:
        started: the event that was recorded.
        begun: `ticks()` when it was recorded.
        begun_at: the node's clock then, Unix seconds.
        live: whether the start's own time was that of the clock.
        called, returned: `ticks()` when the caller handed the start over, and when it was told the start's id
            (None until then).
        fitness: fitness by iteration, from the progress reported.
        reported, recorded: how many iterations were reported, and how many of them became events.
        snapshots: phases of which the caller recorded a snapshot of this evolution, with KPIs and event id.
        held: the last report, where it has not become an event.
        taken_at: `ticks()` of the last that has.
        key: under which it is among the open ones: its id, where no other agent has one of that id open.
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
        """Return how far a time is from when the evolution began, seconds.

        It began somewhere between the start's own time and when the caller could go on, which a collector
        that is just starting, or a slow disk, may have put off.
        """
        begun = self.started.occurred_at / 1e6
        kept_waiting = (ticks() if self.returned is None else self.returned) - self.called
        return max(begun - at, at - begun - kept_waiting, 0.0)

    def snapshot_of(self, phase: str) -> tuple[dict[str, float], str] | None:
        """Return the KPIs and the event id of the snapshot that there is of a phase."""
        recorded = self.snapshots.get(phase)
        if recorded is None and phase in self.started.snapshot_phases:
            return self.started.pre_kpis, snapshot_id(self.started.event_id, phase)
        return recorded

    def take_progress(self, event: EvolutionProgressed, sampling: ProgressSampling) -> bool:
        """Take a report in; tell whether it becomes an event now."""
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
        """Return the last report where it has not become an event; it does now."""
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
        evolution_type: its kind of evolution.
    """

    agent_id: str = ""
    evolution_id: str = ""
    at: float | None = None
    duration: float | None = None
    evolution_type: str = ""


class ActiveEvolutions(dict[str, ActiveEvolution]):
    """Open evolutions by evolution_id, oldest first. Safe from several threads."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.by_agent: dict[str, dict[str, ActiveEvolution]] = {}

    def open(self, evolution: ActiveEvolution) -> list[ActiveEvolution]:
        """Add one; return those that were forgotten for it."""
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
                "%d evolutions are open; forgot the start of %s",
                MOST_ACTIVE,
                forgotten[0].started.evolution_id,
            )
        return forgotten

    def of(self, agent_id: str, evolution_id: str) -> ActiveEvolution | None:
        """Return an agent's open evolution; without an agent, the one of that id."""
        if not agent_id:
            return self.get(evolution_id)
        return self.by_agent.get(agent_id, {}).get(evolution_id)

    def find(self, clues: Clues) -> ActiveEvolution | None:
        """Return the open start that an event belongs to.

        The one with the event's evolution_id. Without one, a start of the agent at the event's own time
        (one object serves as both); else, where the event says how long the evolution took, the start nearest
        to its time less that (`ActiveEvolution.off`); else the agent's newest of the type, or of none. One
        of another type, or too far away, is that of another evolution: better none than a wrong one.
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
            # of several at one time the first that was opened
            same_time = next((e for e in reversed(own) if e.started.occurred_at == at), None)
            if same_time is not None:
                return same_time
            if clues.duration is not None and own:
                begun = clues.at - clues.duration
                nearest = min(own, key=lambda e: (e.off(begun), abs(e.started.occurred_at / 1e6 - begun)))
                return nearest if nearest.off(begun) <= max(NEAR, abs(clues.duration)) else None
        return next((e for e in own if e.started.evolution_type == kind), newest)

    def close(self, evolution: ActiveEvolution) -> None:
        """Take one out."""
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
    """Return what tells an agent's evolution from those of others that have its id."""
    return f"{started.agent_id}\x1f{started.evolution_id}"


def contradicts(one: str, other: str) -> bool:
    """Tell whether two types of evolution are known and differ."""
    return bool(one and other) and UNKNOWN not in (one, other) and one != other
