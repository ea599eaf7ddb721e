"""The evolutions that have started and not completed, and which of them a completion belongs to."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from itertools import islice

from evometrics.producers.convert import evolution_id, given
from evometrics.schemas.events import EvolutionStarted

logger = logging.getLogger(__name__)

#: Evolutions that never complete must not fill the memory: the oldest are forgotten (on disk they stay).
MOST_ACTIVE = 10_000


@dataclass(slots=True)
class ActiveEvolution:
    """An evolution that has started and not completed: its start, and what its progress gave.

    Attributes:
        started: the event that was recorded.
        begun: `time.perf_counter()` when it was recorded.
        fitness: fitness by iteration, from `record_evolution_progress`.
    """

    started: EvolutionStarted
    begun: float
    fitness: list[float] = field(default_factory=list)


class ActiveEvolutions(dict[str, ActiveEvolution]):
    """Open evolutions by evolution_id, oldest first. Safe from several threads."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def open(self, evolution: ActiveEvolution) -> list[str]:
        """Add one; return the ids that were forgotten for it."""
        with self.lock:
            self.pop(evolution.started.evolution_id, None)
            self[evolution.started.evolution_id] = evolution
            forgotten = list(islice(self, max(0, len(self) - MOST_ACTIVE)))
            for old in forgotten:
                del self[old]
        if forgotten:
            logger.warning("%d evolutions are open; forgot the start of %s", MOST_ACTIVE, forgotten[0])
        return forgotten

    def find(self, event: object) -> ActiveEvolution | None:
        """Return the open start that an event belongs to.

        The one with the event's evolution_id; without one, the start at the event's own timestamp, else
        the agent's latest.
        """
        agent, own = given(event, "agent_id"), given(event, "evolution_id")
        with self.lock:
            if own is not None:
                return self.get(str(own))
            when = given(event, "timestamp")
            if isinstance(when, int | float) and abs(when) < float("inf"):
                same = self.get(evolution_id(str(agent), when))
                if same is not None and same.started.agent_id == agent:
                    return same
            return next((e for e in reversed(self.values()) if e.started.agent_id == agent), None)

    def close(self, evolution: ActiveEvolution) -> None:
        """Take one out."""
        with self.lock:
            self.pop(evolution.started.evolution_id, None)
