"""Which agents a sink shows: a bounded number, the most active ones, and those of its own partitions."""

from __future__ import annotations

import dataclasses

from evometrics.schemas.service.agents import CANDIDATES, PERIOD_SECONDS, AgentBook, Shown
from evometrics.sinks.settings import SinkSettings


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def book(clock: Clock, limit: int = 2, forget_seconds: float = 10 * PERIOD_SECONDS) -> AgentBook[Shown]:
    return AgentBook(Shown, limit, forget_seconds, clock)


def hear(agents: AgentBook[Shown], **events: int) -> None:
    for agent, number in events.items():
        for _ in range(number):
            agents.find(agent, 0)


def test_there_is_room_for_so_many_and_their_own_entries_are_given() -> None:
    agents = book(Clock())
    hear(agents, a=1, b=1, c=5)
    assert set(agents.snapshot()) == {"a", "b"}
    assert agents.find("c", 0) is None
    assert agents.find("a", 0) is agents.snapshot()["a"]
    assert AgentBook(Shown, 0, 60).find("a", 0) is None


def test_places_change_after_a_period_and_only_to_the_clearly_more_active() -> None:
    clock = Clock()
    agents = book(clock)
    hear(agents, a=10, b=10, c=20, d=21)
    clock.now += PERIOD_SECONDS
    hear(agents, a=1)
    assert set(agents.snapshot()) in ({"a", "d"}, {"b", "d"}), "c had just twice as many"
    clock.now += PERIOD_SECONDS
    hear(agents, d=1)
    clock.now += PERIOD_SECONDS
    hear(agents, e=1)
    shown = set(agents.snapshot())
    assert "d" in shown and len(shown) == 2, (
        "an agent of which nothing was heard stays while none takes its place"
    )


def test_the_silent_are_forgotten_and_others_have_their_places() -> None:
    clock = Clock()
    agents = book(clock, forget_seconds=1.5 * PERIOD_SECONDS)
    hear(agents, a=5, b=5)
    clock.now += PERIOD_SECONDS
    hear(agents, b=5, c=1)
    clock.now += PERIOD_SECONDS
    hear(agents, b=1)
    assert set(agents.snapshot()) == {"b", "c"}


def test_what_is_remembered_of_the_others_is_bounded() -> None:
    agents = book(Clock(), limit=3)
    hear(agents, **{f"a{n}": 1 for n in range(1000)})
    assert len(agents.events) == 3 * CANDIDATES
    assert len(agents.agents) == 3


def test_after_a_rebalance_only_the_agents_of_its_own_partitions_are_shown() -> None:
    clock = Clock()
    agents = book(clock, limit=3)
    for number, agent in enumerate("abcd"):
        for _ in range(1 + 3 * number):
            agents.find(agent, number)
    agents.keep({0, 1})
    assert set(agents.snapshot()) == {"a", "b"}
    clock.now += PERIOD_SECONDS
    hear(agents, a=1)
    assert set(agents.snapshot()) == {"a", "b"}, (
        "not d, though it was active: its partition is another sink's"
    )


def test_an_agent_that_came_to_another_partition_belongs_to_that_one() -> None:
    agents = book(Clock())
    agents.find("a", 0)
    agents.find("a", 1)
    agents.keep({1})
    assert set(agents.snapshot()) == {"a"}
    agents.keep({0})
    assert not agents.snapshot()


def test_by_default_a_thousand_are_shown_and_a_day_is_remembered() -> None:
    defaults = dataclasses.asdict(SinkSettings())
    assert (defaults["metrics_agents"], defaults["metrics_forget_seconds"]) == (1000, 86_400)
