"""Signatures of the compiled module, which `convert.pyx` describes."""

from collections.abc import Iterable
from typing import Any

from evometrics.producers.events.left_out import LeftOut
from evometrics.producers.events.open_evolutions import ActiveEvolution, Clues
from evometrics.producers.resources.sampler import ProcessReading, Usage
from evometrics.schemas.events import EvolutionCompleted, EvolutionProgressed, EvolutionStarted, KpiSnapshot

def text_of(value: Any) -> str:
    """Return any value as text: ids, names and paths as they are written, None as empty."""

def id_of(value: Any) -> str:
    """Return an id as text, the same for the same value; a very long one is shortened and stays unique."""

def texts(value: Any, left_out: LeftOut) -> dict[str, str]:
    """Return metadata as text by name, from anything that has names and values."""

def number_of(value: Any, name: str, left_out: LeftOut) -> float | None:
    """Return a finite number; None where it is not one, which is noted."""

def truth_of(value: Any, name: str, left_out: LeftOut) -> bool | None:
    """Return True or False; None where it was not given or is neither, which is noted."""

def evolution_id(agent_id: str, timestamp: float) -> str:
    """Return an id for an evolution that was given none."""

def clues(event: object, now: float) -> Clues:
    """Return the fields by which an event names its evolution."""

def errors_and_warnings(insights: Iterable[str]) -> tuple[int, int]:
    """Count the insights that begin with "error", and those that begin with "warn", ignoring case."""

def rounds_to_best(fitness: list[float]) -> int:
    """Return the number of iterations until the fitness stopped improving."""

def started_event(event: object, node_id: str, now: float, left_out: LeftOut) -> EvolutionStarted:
    """Build the start of an evolution. Raises `InvalidEvent` where it names no agent."""

def progressed_event(
    given: Any, node_id: str, now: float, active: ActiveEvolution | None, left_out: LeftOut
) -> EvolutionProgressed:
    """Build an iteration from agent_id, iteration, fitness, evolution_id and timestamp, and further figures.

    Raises `InvalidEvent` where it names no agent.
    """

def completed_event(
    event: object,
    node_id: str,
    now: float,
    active: ActiveEvolution | None,
    usage: Usage | None,
    left_out: LeftOut,
) -> EvolutionCompleted:
    """Build the completion of an evolution; missing values come from its start and its resource readings.

    Raises `InvalidEvent` where it names no agent.
    """

def set_reading(event: Any, reading: ProcessReading) -> None:
    """Set the process's current figures."""

def kpi_snapshot(
    agent_id: Any,
    kpis: Any,
    node_id: str,
    now: float,
    left_out: LeftOut,
    *,
    phase: Any,
    evolution_id: Any,
    timestamp: Any,
    objective: Any,
    direction: Any,
) -> tuple[KpiSnapshot, dict[str, float]]:
    """Build a snapshot, and return it with its KPIs: standard ones in their fields, others in `extra`.

    Raises `InvalidEvent` where it names no agent.
    """

def set_broker_clock(less_ticks: float | None) -> None:
    """Set the broker's time as its lead over `ticks`, seconds; None where it is not known.

    Given times are checked against it too: a clock that is days behind must not refuse them.
    """

def latest_now() -> int:
    """Return the later of this machine's time and the broker's, microseconds."""
