"""What an agent must provide to be evolved: four methods, sync or async, with any library.

A sync method runs in a worker thread, so that a CPU-bound agent never blocks the event loop; an async one is
awaited. The orchestrator never calls two methods of one agent at the same time.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from evometrics.producers.orchestrator.strategies import Strategy

T = TypeVar("T")


class EvolutionFailed(Exception):
    """Raised by an agent where a strategy had no result; recorded as the reason of a failed evolution."""


@runtime_checkable
class KpiObject(Protocol):
    """An object that returns its KPIs as a map, like `evometrics.producers.events.kpi.AgentKPI`."""

    def to_dict(self) -> Mapping[str, float]:
        """Return the KPIs by name."""
        ...


@dataclass(frozen=True, slots=True)
class EvolutionContext:
    """What an agent is told about the evolution that it is going through.

    Attributes:
        generation: the generation that this evolution produces, counted from 1.
        seed: seeds whatever the agent draws at random; the same for the same orchestrator seed, agent and
            generation.
        kpis: the KPIs measured just before.
        report: call it as `report(iteration, fitness)` for each iteration, counted from 0, from any thread;
            returns at once.
    """

    generation: int
    seed: int
    kpis: Mapping[str, float]
    report: Callable[[int, float], None]


@runtime_checkable
class EvolvableAgent(Protocol):
    """An agent that an orchestrator can evolve. Each method may also be `async`.

    One that optimizes a KPI of its own says which in an attribute `objective`, and in `direction` whether it
    is to grow (`maximize`) or to fall (`minimize`). It is then evolved each night, kept where that KPI got
    better, and never retired for its KPIs: the thresholds are for shares of 1.
    """

    @property
    def agent_id(self) -> str:
        """The agent's name, unique among all nodes and never empty."""
        ...

    def evaluate_kpi(self) -> Mapping[str, float] | KpiObject | Awaitable[Mapping[str, float] | KpiObject]:
        """Measure the agent now; any KPI names, finite values. Must not change what the agent has learned."""
        ...

    def export_state(self) -> Any:
        """Return everything that `roll_back` needs; later changes of the agent must not affect it."""
        ...

    def apply_strategy(
        self, strategy: Strategy, context: EvolutionContext
    ) -> Sequence[str] | Awaitable[Sequence[str] | None] | None:
        """Evolve by `strategy` and return insights, one text each ("warning: ..." counts as a warning).

        Raises `EvolutionFailed` where the strategy has no result; any other exception is recorded as a
        failure too. In both cases the orchestrator rolls back to the state exported before.
        """
        ...

    def roll_back(self, state: Any) -> Any:
        """Restore a state that `export_state` returned; afterwards the agent answers as it did then."""
        ...


def aim(agent: EvolvableAgent) -> tuple[str | None, str | None]:
    """Return the objective that an agent states, and its direction; None for what it does not state."""
    return getattr(agent, "objective", None), getattr(agent, "direction", None)


async def call(method: Callable[..., T | Awaitable[T]], *args: Any) -> T:
    """Call an agent's method: awaited where it is async, else in a worker thread."""
    result = method(*args) if inspect.iscoroutinefunction(method) else await asyncio.to_thread(method, *args)
    return await result if inspect.isawaitable(result) else result


async def measure(agent: EvolvableAgent) -> dict[str, float]:
    """Evaluate an agent and return its KPIs as a checked map; those that are None are left out.

    Raises `TypeError` or `ValueError` naming agent and KPI where the result is not a map of finite numbers.
    """
    answer = await call(agent.evaluate_kpi)
    kpis = answer.to_dict() if isinstance(answer, KpiObject) else answer
    if not isinstance(kpis, Mapping):
        raise TypeError(
            f"agent {agent.agent_id}: evaluate_kpi returned {type(kpis).__name__}; "
            "return a map of KPI names to numbers, or an object with to_dict()"
        )
    checked: dict[str, float] = {}
    for name, value in kpis.items():
        if value is None or name == "agent_id":
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(
                f"agent {agent.agent_id}: KPI {name}={value!r} is not a finite number; "
                "leave it out where it can't be measured"
            )
        checked[str(name)] = number
    return checked
