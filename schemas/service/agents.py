"""Which agents have series of their own: the most active ones of a sink's partitions, or of a node.

Series of every agent would make bodies of 300 MB at 100,000 agents, and Prometheus keeps for hours what it
has seen once. So their number is bounded, and those chosen change slowly: an agent is shown as soon as there
is room, and later in place of another only if it was clearly more active than that one for a period.

The sink that has an agent's partition is the only one that shows it: `keep` drops what another sink has now.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from evometrics.schemas.service.beginnings import PAIR_SECONDS

#: How long activity is counted before agents may change places, seconds.
PERIOD_SECONDS = 300.0
#: An agent takes another's place if it had more than this many times its events.
CLEARLY = 2
#: Agents whose activity is counted in a period, as a multiple of those shown; others wait for the next one.
CANDIDATES = 10


NOTHING: frozenset[int] = frozenset()


@dataclass(slots=True)
class Births:
    """Series that were first shown at a time.

    Attributes:
        until: the number of the first series that began later.
        since: when, on the monotonic clock.
        scrapers: who has seen them at 0.
    """

    until: int
    since: float
    scrapers: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Shown:
    """An agent that is shown.

    Attributes:
        partition: the partition that its events come from.
        heard: when its last event was counted, on the monotonic clock.
        version: raised with each change of its values.
        texts: lines that were made of them, by metric.
        made_of: the version before each was made; apart, so that there is nothing for the garbage collector.
        begun: how many series have begun at 0 for everybody, by metric; the further ones are in `young`.
        young: series that have begun of late, by metric.
    """

    partition: int
    heard: float
    version: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    made_of: dict[str, int] = field(default_factory=dict)
    begun: dict[str, int] = field(default_factory=dict)
    young: dict[str, list[Births]] = field(default_factory=dict)

    def text(self, metric: str, make: Callable[[], str]) -> str:
        """Return the lines of a metric, made again only if a value has changed; from one thread at a time."""
        version = self.version
        if self.made_of.get(metric) == version:
            return self.texts[metric]
        made = self.texts[metric] = make()
        self.made_of[metric] = version
        return made

    def zeros(
        self, metric: str, series: int, scraper: str, clock: Callable[[], float] = time.monotonic
    ) -> frozenset[int]:
        """Return which of so many series, that only grow in number, a Prometheus sees at 0 (`beginnings`)."""
        begun = self.begun.get(metric, 0)
        if begun == series:
            return NOTHING
        now = clock()
        young = self.young.setdefault(metric, [])
        while young and now - young[0].since >= PAIR_SECONDS:
            begun = self.begun[metric] = young.pop(0).until
        if series > (young[-1].until if young else begun):
            young.append(Births(series, now))
        found, first = list[int](), begun
        for births in young:
            if scraper not in births.scrapers:
                births.scrapers.add(scraper)
                found += range(first, births.until)
            first = births.until
        if not young:
            del self.young[metric]
        return frozenset(found)


S = TypeVar("S", bound=Shown)


class AgentBook(Generic[S]):
    """The agents shown of one topic.

    Args:
        make: makes an agent's entry from its partition and the time.
        limit: how many are shown; 0 = none.
        forget_seconds: an agent is dropped after this time without events.
        clock: the monotonic clock.
    """

    def __init__(
        self,
        make: Callable[[int, float], S],
        limit: int,
        forget_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.make = make
        self.limit = limit
        self.forget_seconds = forget_seconds
        self.clock = clock
        self.agents: dict[str, S] = {}
        self.events: dict[str, tuple[int, int]] = {}
        self.began = clock()

    def find(self, agent: str, partition: int) -> S | None:
        """Return the entry to update for an event of an agent; None where the agent is not shown."""
        if not self.limit:
            return None
        now = self.clock()
        if now - self.began >= PERIOD_SECONDS:
            self.change_places(now)
        count, _ = self.events.get(agent, (0, 0))
        if count or len(self.events) < CANDIDATES * self.limit:
            self.events[agent] = count + 1, partition
        shown = self.agents.get(agent)
        if shown is None:
            if len(self.agents) >= self.limit:
                return None
            shown = self.agents[agent] = self.make(partition, now)
        shown.partition, shown.heard = partition, now
        return shown

    def change_places(self, now: float) -> None:
        """End a period: forget the silent, and give places to those that were clearly more active."""
        events, self.events, self.began = self.events, {}, now
        silent = [a for a, shown in self.agents.items() if now - shown.heard >= self.forget_seconds]
        for agent in silent:
            del self.agents[agent]
        waiting = ((count, a, partition) for a, (count, partition) in events.items() if a not in self.agents)
        least = sorted(self.agents, key=lambda a: events.get(a, (0, 0))[0], reverse=True)
        for count, agent, partition in heapq.nlargest(self.limit, waiting):
            if len(self.agents) >= self.limit:
                if count <= CLEARLY * events.get(least[-1], (0, 0))[0]:
                    return
                del self.agents[least.pop()]
            self.agents[agent] = self.make(partition, now)

    def keep(self, partitions: Collection[int]) -> None:
        """Drop the agents of all other partitions."""
        self.agents = {a: shown for a, shown in self.agents.items() if shown.partition in partitions}
        self.events = {
            a: (n, partition) for a, (n, partition) in self.events.items() if partition in partitions
        }

    def snapshot(self) -> dict[str, S]:
        """Return the agents that are shown: a copy, made in one step, for another thread."""
        return self.agents.copy()
