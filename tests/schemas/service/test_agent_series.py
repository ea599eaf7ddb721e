"""Agents' metrics are written byte for byte as prometheus_client writes its own, and counters begin at 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from evometrics.schemas.metrics import (
    AGENT_KPI,
    EVOLUTION_ATTEMPTS,
    EVOLUTION_DURATION,
    EVOLUTION_IMPROVEMENT,
    EVOLUTION_MEMORY,
    OF_AGENTS,
    Instruments,
)
from evometrics.schemas.service.agent_series import AgentSeries
from evometrics.schemas.service.agents import Shown
from evometrics.schemas.service.beginnings import PAIR_SECONDS, Beginnings
from evometrics.schemas.service.exposition import Exposition

#: Agent, type, status, seconds, improvement, memory.
ENDED = [
    ("a", "nightly", "succeeded", 0.2, 0.1, 512.0),
    ("a", "nightly", "succeeded", 1234567.5, -1e-7, None),
    ("a", 'say "a"\\n\n{,} = ö', "failed", None, None, 7_654_321.0),
    ("b\\", "nightly", "rolled_back", 60.0, 0.0, 1e22),
]
KPIS = {
    "large": 1e300,
    "a million": 1e6,
    "less": 999999.9,
    "negative": -1e22,
    "of \n": -0.0,
    "inf": math.inf,
    "-inf": -math.inf,
    "nan": math.nan,
    "tiny": 5e-324,
}


@pytest.fixture
def agents() -> AgentSeries:
    found = AgentSeries(10, 60)
    for number, (agent, kind, status, seconds, gain, memory) in enumerate(ENDED):
        shown = found.evolutions.find(agent, 0)
        assert shown is not None
        shown.add(kind, status, seconds)
        shown.offer((number, ""), gain, memory)
    kpis = found.kpis.find("a", 0)
    assert kpis is not None
    kpis.offer((1, ""), KPIS)
    return found


@pytest.fixture
def registry(agents: AgentSeries) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(agents)
    return made


def counted_by_prometheus_client() -> CollectorRegistry:
    """Return the same, in prometheus_client's own objects."""
    registry = CollectorRegistry()
    their = Instruments(registry, OF_AGENTS)
    for agent, kind, status, seconds, gain, memory in ENDED:
        their.counter(EVOLUTION_ATTEMPTS).labels(agent, kind, status).inc()
        if seconds is not None:
            their.histogram(EVOLUTION_DURATION).labels(agent, kind).observe(seconds)
        if gain is not None:
            their.gauge(EVOLUTION_IMPROVEMENT).labels(agent).set(gain)
        if memory is not None:
            their.gauge(EVOLUTION_MEMORY).labels(agent).set(memory)
    for name, value in KPIS.items():
        their.gauge(AGENT_KPI).labels("a", name).set(value)
    return registry


@pytest.mark.parametrize("encode", [generate_latest, openmetrics])
def test_each_byte_is_prometheus_clients_own(
    registry: CollectorRegistry, encode: Callable[..., bytes]
) -> None:
    theirs = b"".join(Exposition(counted_by_prometheus_client()).pieces(encode))
    assert b"".join(Exposition(registry).pieces(encode)) == theirs
    assert theirs.count(b"\n") > 60


@pytest.mark.parametrize("encode", [generate_latest, openmetrics])
def test_who_collects_the_registry_itself_reads_the_same(
    registry: CollectorRegistry, encode: Callable[..., bytes]
) -> None:
    assert encode(registry) == b"".join(Exposition(registry).pieces(encode))
    name, labels = "evolution_attempts_total", {"agent_id": "a", "evolution_type": "nightly"}
    assert registry.get_sample_value(name, labels | {"status": "succeeded"}) == 2


def test_counts_of_millions_are_written_as_go_does(agents: AgentSeries, registry: CollectorRegistry) -> None:
    agents.evolutions.agents["a"].attempts["nightly", "succeeded"] = 12_345_678
    agents.evolutions.agents["a"].durations["nightly"].counts[-1] = 1_000_000
    assert encode_all(registry) == generate_latest(registry).decode()
    assert 'status="succeeded"} 1.2345678e+07\n' in encode_all(registry)


def encode_all(registry: CollectorRegistry) -> str:
    return Exposition(registry).text()


def test_a_prometheus_sees_an_agents_counters_at_0_first_and_gauges_at_their_value(
    agents: AgentSeries, registry: CollectorRegistry
) -> None:
    exposition = Exposition(registry, Beginnings())

    def seen(scraper: str | None) -> dict[str, float]:
        lines = b"".join(exposition.pieces(generate_latest, scraper)).decode().splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if line.startswith("evolution"))
        return {name: float(value) for name, value in values.items() if 'agent_id="a"' in name}

    nobody = seen(None)
    first = seen("one")
    growing = {name for name in nobody if "attempts" in name or "duration" in name}
    assert {name for name, value in first.items() if value != nobody[name]} <= growing
    assert not any(first[name] for name in growing) and any(nobody[name] for name in growing)
    assert seen("one") == seen("one") == seen(None) == nobody
    assert seen("two") == first, "the other one of a pair"
    agents.evolutions.agents["a"].add("nightly", "pruned", 5.0)
    third = seen("one")
    (pruned,) = third.keys() - nobody.keys()
    assert third[pruned] == 0 and seen("one")[pruned] == 1
    assert sum(third.values()) > sum(nobody.values()), "what has begun before is shown with its value"


def test_series_are_shown_at_0_to_each_prometheus_of_a_pair_and_to_none_that_comes_later() -> None:
    shown, now = Shown(0, 0.0), 100.0

    def zeros(series: int, scraper: str) -> set[int]:
        return set(shown.zeros("m", series, scraper, lambda: now))

    assert zeros(2, "one") == {0, 1}
    now += PAIR_SECONDS / 2
    assert zeros(3, "one") == {2}
    assert zeros(3, "two") == {0, 1, 2}
    assert zeros(3, "two") == zeros(3, "one") == set()
    now += PAIR_SECONDS / 2
    assert zeros(3, "three") == {2}
    now += PAIR_SECONDS / 2
    assert zeros(3, "four") == set()
    assert (shown.begun, shown.young) == ({"m": 3}, {})
    assert zeros(4, "four") == {3}


def test_what_is_made_while_a_series_begins_shows_that_one_at_0_as_well(
    agents: AgentSeries, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    exposition = Exposition(registry, Beginnings())
    first = Shown.zeros
    begun = iter([True])

    def meanwhile(self: Shown, *given: Any) -> frozenset[int]:
        found = first(self, *given)
        if next(begun, False):
            agents.evolutions.agents["a"].add("later", "failed", 5.0)
        return found

    monkeypatch.setattr(Shown, "zeros", meanwhile)
    text = b"".join(exposition.pieces(generate_latest, "one")).decode()
    lines = [line for line in text.splitlines() if line.startswith("evolution_attempts_total")]
    assert len(lines) == 4 and all(line.endswith(" 0.0") for line in lines)
