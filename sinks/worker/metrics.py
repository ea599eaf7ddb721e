"""Metrics of evolutions and agents, counted by the sink from the rows it has stored.

Plain numbers instead of `prometheus_client` objects: looking one of those up by its labels takes longer than
all other work on an evolution's row, and an agent's 40 series are rendered ten times as fast from here.

Two kinds. Totals have no agent, are few, and are what rates and increases are taken of. An agent's series are
there for the agents that `agents` chooses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from evometrics.schemas.metrics import (
    AGENT_KPI,
    EVOLUTION_ATTEMPTS,
    EVOLUTION_DURATION,
    EVOLUTION_IMPROVEMENT,
    EVOLUTION_MEMORY,
    MetricDef,
)
from evometrics.schemas.service.agents import AgentBook, Shown
from evometrics.schemas.service.exposition import LargeFamily
from evometrics.sinks.worker.nodes import NodesHeard
from evometrics.sinks.worker.totals import Distribution, EvolutionTotals, durations

#: When something was measured: event time in microseconds; the event's id breaks ties.
Moment = tuple[int, str]
S = TypeVar("S", bound=Shown)

#: What Python calls otherwise.
FLOATS = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}


@dataclass(slots=True)
class AgentEvolutions(Shown):
    """What is shown of an agent's evolutions: counts since it is shown, and newest values by event time."""

    attempts: dict[tuple[str, str], int] = field(default_factory=dict)
    durations: dict[str, Distribution] = field(default_factory=dict)
    improvement: tuple[Moment, float] | None = None
    memory: tuple[Moment, float] | None = None

    def add(self, kind: str, status: str, seconds: float | None) -> None:
        """Count an evolution that has ended; `seconds` is None where its duration is unknown."""
        self.attempts[kind, status] = self.attempts.get((kind, status), 0) + 1
        if seconds is not None:
            self.durations.setdefault(kind, durations()).add(seconds)
        self.version += 1

    def offer(self, moment: Moment, improvement: float | None, memory: float | None) -> None:
        """Keep each value that is known where it is the newest."""
        if improvement is not None and (self.improvement is None or moment >= self.improvement[0]):
            self.improvement = moment, improvement
        if memory is not None and (self.memory is None or moment >= self.memory[0]):
            self.memory = moment, memory
        self.version += 1


@dataclass(slots=True)
class AgentKpis(Shown):
    """The KPIs of an agent's newest snapshot by event time."""

    newest: tuple[Moment, Mapping[str, float]] = ((0, ""), {})

    def offer(self, moment: Moment, kpis: Mapping[str, float]) -> None:
        """Keep a snapshot's KPIs where they are the newest."""
        if moment >= self.newest[0]:
            self.newest = moment, kpis
            self.version += 1


class StoredMetrics:
    """The totals, the nodes, and the books of agents that have series of their own."""

    def __init__(self, agents: int, forget_seconds: float) -> None:
        """`agents`, `forget_seconds`: as in `AgentBook`."""
        self.totals = EvolutionTotals()
        self.nodes = NodesHeard(forget_seconds)
        self.evolutions = AgentBook(AgentEvolutions, agents, forget_seconds)
        self.kpis = AgentBook(AgentKpis, agents, forget_seconds)

    def large(self) -> Iterator[LargeFamily]:
        """Yield the agents' metrics; from any thread, while others count."""
        evolutions, kpis = self.evolutions.snapshot(), self.kpis.snapshot()
        yield LargeFamily(EVOLUTION_ATTEMPTS, lines(evolutions, EVOLUTION_ATTEMPTS, attempt_lines))
        yield LargeFamily(EVOLUTION_DURATION, lines(evolutions, EVOLUTION_DURATION, duration_lines))
        yield LargeFamily(EVOLUTION_IMPROVEMENT, lines(evolutions, EVOLUTION_IMPROVEMENT, improvement_lines))
        yield LargeFamily(EVOLUTION_MEMORY, lines(evolutions, EVOLUTION_MEMORY, memory_lines))
        yield LargeFamily(AGENT_KPI, lines(kpis, AGENT_KPI, kpi_lines))


def lines(agents: Mapping[str, S], metric: MetricDef, of_one: Callable[[str, S], str]) -> Iterator[str]:
    """Yield each agent's lines of one metric."""
    name = metric.name
    for agent, shown in agents.items():
        yield shown.text(name, partial(lines_of, of_one, agent, shown))


def lines_of(of_one: Callable[[str, S], str], agent: str, shown: S) -> str:
    return of_one(escaped(agent), shown)


def attempt_lines(agent: str, shown: AgentEvolutions) -> str:
    return "".join(
        f'evolution_attempts_total{{agent_id="{agent}",evolution_type="{escaped(kind)}",'
        f'status="{escaped(status)}"}} {count}.0\n'
        for (kind, status), count in list(shown.attempts.items())
    )


def duration_lines(agent: str, shown: AgentEvolutions) -> str:
    found = []
    for kind, known in list(shown.durations.items()):
        labels = f'{{agent_id="{agent}",evolution_type="{escaped(kind)}"'
        buckets = known.cumulated()
        for bound, count in buckets:
            found.append(f'evolution_duration_seconds_bucket{labels},le="{bound}"}} {count}.0\n')
        found.append(f"evolution_duration_seconds_count{labels}}} {buckets[-1][1]}.0\n")
        found.append(f"evolution_duration_seconds_sum{labels}}} {number(known.total)}\n")
    return "".join(found)


def improvement_lines(agent: str, shown: AgentEvolutions) -> str:
    known = shown.improvement
    return f'evolution_performance_improvement{{agent_id="{agent}"}} {number(known[1])}\n' if known else ""


def memory_lines(agent: str, shown: AgentEvolutions) -> str:
    known = shown.memory
    return f'evolution_memory_used_mb{{agent_id="{agent}"}} {number(known[1])}\n' if known else ""


def kpi_lines(agent: str, shown: AgentKpis) -> str:
    labels = f'agent_kpi_current{{agent_id="{agent}",kpi_name="'
    return "".join(f'{labels}{escaped(name)}"}} {number(value)}\n' for name, value in shown.newest[1].items())


def escaped(value: str) -> str:
    """Return a label's value as both formats write it."""
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value


def number(value: float) -> str:
    """Return a value as both formats write it."""
    return repr(value) if math.isfinite(value) else FLOATS[str(value)]
