"""Metrics of agents, for the agents that an `AgentBook` chooses: of a sink's rows, or of a node's events.

Plain numbers instead of `prometheus_client` objects: looking one of those up by its labels takes longer than
all other work on an evolution's row, and rendering an agent's 40 series ten times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from evometrics.schemas.metrics import (
    AGENT_KPI,
    EVOLUTION_ATTEMPTS,
    EVOLUTION_DURATION,
    EVOLUTION_IMPROVEMENT,
    EVOLUTION_MEMORY,
    MetricDef,
)
from evometrics.schemas.service import agent_lines as written
from evometrics.schemas.service.agent_lines import Row, Zeros, escaped
from evometrics.schemas.service.agents import NOTHING, AgentBook, Shown
from evometrics.schemas.service.distribution import Distribution, durations

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from evometrics.schemas.service.large import LargeMetric

#: When something was measured: event time in microseconds; the event's id breaks ties.
Moment = tuple[int, str]
S = TypeVar("S", bound=Shown)


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


class AgentSeries:
    """The books of agents that have series of their own; a collector of prometheus_client."""

    def __init__(self, agents: int, forget_seconds: float) -> None:
        """`agents`, `forget_seconds`: as in `AgentBook`."""
        self.evolutions = AgentBook(AgentEvolutions, agents, forget_seconds)
        self.kpis = AgentBook(AgentKpis, agents, forget_seconds)

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering makes no series."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the agents' metrics; from any thread, while others count."""
        evolutions, kpis = self.evolutions.snapshot(), self.kpis.snapshot()
        for metric in OF_EVOLUTIONS:
            yield large(metric, evolutions)
        yield large(OF_KPIS, kpis)


@dataclass(frozen=True, slots=True)
class AgentMetric(Generic[S]):
    """How a metric is made of an agent.

    Attributes:
        lines: its lines, from the agent's name, escaped, and which series are shown at 0.
        rows: its samples, from the agent's name.
        growing: how many series it has that accumulate, in the order in which they began; None = it has none.
    """

    definition: MetricDef
    lines: Callable[[str, S, Zeros], str]
    rows: Callable[[str, S], Iterable[Row]]
    growing: Callable[[S], int] | None = None

    def texts(self, agents: Mapping[str, S], scraper: str | None) -> Iterator[str]:
        """Yield each agent's lines; from one thread at a time."""
        name = self.definition.name
        growing = self.growing if scraper is not None else None
        for agent, shown in agents.items():
            if shown.made_of.get(name) == shown.version and (
                growing is None or shown.begun.get(name) == growing(shown)
            ):
                yield shown.texts[name]
            elif growing is None or scraper is None:
                yield self.made(agent, shown)
            else:
                yield self.begun(agent, shown, growing, scraper)

    def made(self, agent: str, shown: S) -> str:
        """Return lines that are kept until a value changes."""
        return shown.text(self.definition.name, lambda: self.lines(escaped(agent), shown, NOTHING))

    def begun(self, agent: str, shown: S, growing: Callable[[S], int], scraper: str) -> str:
        """Return lines of which those series are at 0 that a Prometheus has not seen."""
        zeros = NOTHING
        while True:
            series = growing(shown)
            zeros |= shown.zeros(self.definition.name, series, scraper)
            made = self.lines(escaped(agent), shown, zeros) if zeros else self.made(agent, shown)
            if growing(shown) == series:  # none has begun meanwhile
                return made


def large(metric: AgentMetric[S], agents: Mapping[str, S]) -> LargeMetric:
    """Return a metric of some agents."""
    from prometheus_client.samples import Sample

    from evometrics.schemas.service.large import LargeMetric

    return LargeMetric(
        metric.definition,
        lambda scraper: metric.texts(agents, scraper),
        lambda: (Sample(*row) for agent, shown in agents.items() for row in metric.rows(agent, shown)),
    )


def gauge(
    definition: MetricDef, value: Callable[[AgentEvolutions], tuple[Moment, float] | None]
) -> AgentMetric[AgentEvolutions]:
    """Return a metric that has one series by agent, where its value is known."""
    name = definition.name

    def lines(agent: str, shown: AgentEvolutions, _: Zeros) -> str:
        known = value(shown)
        return written.gauge_lines(name, agent, known[1]) if known else ""

    def rows(agent: str, shown: AgentEvolutions) -> Iterable[Row]:
        known = value(shown)
        return written.gauge_rows(name, agent, known[1]) if known else ()

    return AgentMetric(definition, lines, rows)


OF_EVOLUTIONS: tuple[AgentMetric[AgentEvolutions], ...] = (
    AgentMetric(
        EVOLUTION_ATTEMPTS,
        lambda agent, shown, zeros: written.attempt_lines(agent, shown.attempts, zeros),
        lambda agent, shown: written.attempt_rows(agent, shown.attempts),
        lambda shown: len(shown.attempts),
    ),
    AgentMetric(
        EVOLUTION_DURATION,
        lambda agent, shown, zeros: written.duration_lines(agent, shown.durations, zeros),
        lambda agent, shown: written.duration_rows(agent, shown.durations),
        lambda shown: len(shown.durations),
    ),
    gauge(EVOLUTION_IMPROVEMENT, lambda shown: shown.improvement),
    gauge(EVOLUTION_MEMORY, lambda shown: shown.memory),
)
OF_KPIS: AgentMetric[AgentKpis] = AgentMetric(
    AGENT_KPI,
    lambda agent, shown, zeros: written.kpi_lines(agent, shown.newest[1]),
    lambda agent, shown: written.kpi_rows(agent, shown.newest[1]),
)
