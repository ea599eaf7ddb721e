"""What the compiled module takes and returns; `convert.pyx` says what it is for."""

from collections.abc import Iterable, Mapping
from typing import Any

from evometrics.producers.active import ActiveEvolution
from evometrics.producers.resources import Reading, Usage
from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted, KpiSnapshot

def given(event: object, *names: str) -> Any:
    """Return the first of these attributes that the event has and that is not None."""

def finite(value: Any, record: str, name: str) -> float:
    """Return a number as float. Raises `InvalidEvent` naming the field."""

def whole(value: Any, record: str, name: str) -> int:
    """Return a whole number. Raises `InvalidEvent` naming the field."""

def evolution_id(agent_id: str, timestamp: float) -> str:
    """Return the id of an evolution that was given none."""

def errors_and_warnings(insights: Iterable[str]) -> tuple[int, int]:
    """Count the insights that begin with "error", and those that begin with "warn", in any case."""

def rounds_to_best(fitness: list[float]) -> int:
    """Return how many iterations it took until the fitness stopped improving."""

def started_event(event: object, node_id: str) -> EvolutionStarted:
    """Build the start of an evolution. Raises `InvalidEvent`; what it lets through, `validate` checks."""

def completed_event(
    event: object, node_id: str, active: ActiveEvolution | None, usage: Usage | None
) -> EvolutionCompleted:
    """Build the completion of an evolution; what it leaves out comes from its start and its readings.

    Raises `InvalidEvent`; what it lets through, `validate` checks.
    """

def set_reading(event: Any, reading: Reading) -> None:
    """Fill in the process's present figures."""

def kpi_snapshot(
    agent_id: str,
    kpis: Mapping[str, float],
    node_id: str,
    *,
    phase: str,
    evolution_id: str | None,
    timestamp: float | None,
) -> KpiSnapshot:
    """Build a snapshot: standard KPIs into their fields, any other name into `extra`.

    Raises `InvalidEvent`.
    """
