"""`bodies`: what a body of `/metrics` costs a sink and a node, against prometheus_client's own rendering.

Both have 100,000 agents, of which they show the default of 1,000. prometheus_client renders the same series
from its own objects by `generate_latest`; ours are rendered as scrapes follow each other: with values that
have not changed since the one before, with those of every agent changed, and the first one of all.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    disable_created_metrics,
    enable_created_metrics,
    generate_latest,
)

from evometrics.schemas import metrics as m
from evometrics.schemas.service.agent_series import AgentSeries
from evometrics.schemas.service.beginnings import Beginnings
from evometrics.schemas.service.exposition import Exposition
from tests.benchmarks.checks import require
from tests.benchmarks.figures import report
from tests.benchmarks.settings import Settings
from tests.support.agents import recorded, registered, stored

AGENTS, QUICK_AGENTS = 100_000, 2000
SCRAPER = "127.0.0.1"
OURS, THEIRS = "ours, nothing new", "prometheus_client"
CHANGED, FIRST = "ours, every agent changed", "ours, first scrape"


async def run(settings: Settings) -> dict[str, Any]:
    """Measure both, turn by turn."""
    agents, rounds = settings.sized(events=AGENTS, quick_events=QUICK_AGENTS, rounds=9)
    disable_created_metrics()  # ours have no `_created` series either
    found = {"sink": one(stored(agents), rounds), "node": one(recorded(agents), rounds)}
    enable_created_metrics()
    return report(agents=agents, rounds=rounds, **found)


def one(agents: AgentSeries, rounds: int) -> dict[str, Any]:
    """Return the figures of one part: medians of processor time in ms."""
    theirs, ours = copied(agents), CollectorRegistry()
    ours.register(agents)
    require(Exposition(ours).text() == Exposition(theirs).text(), "both bodies have the same bytes")
    exposition = Exposition(registered(agents), Beginnings())

    def scrape() -> None:
        b"".join(exposition.pieces(generate_latest, SCRAPER))

    taken: dict[str, list[float]] = {FIRST: [taking(scrape)]}
    for _ in range(rounds):
        taken.setdefault(THEIRS, []).append(taking(lambda: generate_latest(theirs)))
        for shown in (*agents.evolutions.agents.values(), *agents.kpis.agents.values()):
            shown.version += 1
        taken.setdefault(CHANGED, []).append(taking(scrape))
        taken.setdefault(OURS, []).append(taking(scrape))
    cpu_ms = {name: 1000 * statistics.median(each) for name, each in taken.items()}
    text = exposition.text()
    return {
        "mb": len(text) / 1e6,
        "samples": sum(not line.startswith("#") for line in text.splitlines()),
        "cpu_ms": cpu_ms,
        "ratio": {name: cpu_ms[THEIRS] / each for name, each in cpu_ms.items() if name != THEIRS},
    }


def taking(work: Callable[[], object]) -> float:
    """Return the processor time of this thread, in seconds."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def copied(agents: AgentSeries) -> CollectorRegistry:
    """Return the agents' series in prometheus_client's own objects."""
    registry = CollectorRegistry()
    theirs = m.Instruments(registry, m.OF_AGENTS)
    for agent, shown in agents.evolutions.agents.items():
        for (kind, status), count in shown.attempts.items():
            theirs.counter(m.EVOLUTION_ATTEMPTS).labels(agent, kind, status).inc(count)
        for kind, seconds in shown.durations.items():
            histogram = theirs.histogram(m.EVOLUTION_DURATION).labels(agent, kind)
            count = sum(seconds.counts)
            for _ in range(count):  # all of them took the same
                histogram.observe(seconds.total / count)
        if shown.improvement is not None:
            theirs.gauge(m.EVOLUTION_IMPROVEMENT).labels(agent).set(shown.improvement[1])
        if shown.memory is not None:
            theirs.gauge(m.EVOLUTION_MEMORY).labels(agent).set(shown.memory[1])
    for agent, known in agents.kpis.agents.items():
        for name, value in known.newest[1].items():
            theirs.gauge(m.AGENT_KPI).labels(agent, name).set(value)
    return registry
