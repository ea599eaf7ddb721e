"""One run as a tool's file has it: its candidates and itself as rows of evolutions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from evometrics.deploy.history.sources import SourceRow
from evometrics.producers.events.cells import Unreadable, bounded_int, refuse
from evometrics.producers.recording import Recorder, Run
from evometrics.producers.recording.scores import finite

#: What reading raises where a file is not as its tool writes it.
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


class Taken:
    """Stands in a `Run` for its recorder: keeps what the run would have recorded."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.error: Exception | None = None

    def start(self, agent_id: str, **fields: Any) -> None:
        """Take a start: files have the end, which is enough."""

    def complete(self, agent_id: str, **fields: Any) -> None:
        """Take a completion."""
        self.fields = {"agent_id": agent_id, **fields}

    def miss(self, error: Exception) -> None:
        """Take what prevented it."""
        self.error = error

    def give(self) -> dict[str, Any]:
        """Return the fields taken last, once. Raises what prevented them."""
        fields, error = self.fields, self.error
        self.fields, self.error = {}, None
        if error is not None:
            raise Unreadable(f"can't be recorded: {error!r}")
        return fields


class FileRun:
    """Makes rows of a run's candidates, given in the order in which they ended, exactly as a live `Run` does.

    Attributes:
        run: what decides statuses, ids and names.
        first, last: earliest beginning and latest end, in Unix seconds; None before the first candidate.
    """

    def __init__(
        self,
        framework: str,
        run_id: str,
        *,
        agent_id: str = "",
        objective: str = "",
        direction: str = "maximize",
        directions: Mapping[str, str] | None = None,
    ) -> None:
        """Without an objective nobody knows what is better. `directions`: of several objectives, by name."""
        self.taken = Taken()
        self.judges = bool(objective or directions)
        self.run = Run(
            framework,
            recorder=cast(Recorder, self.taken),
            run_id=run_id or framework,
            agent_id=agent_id,
            objective=objective,
            direction="pareto" if directions or not objective else direction,
            metadata={f"direction.{name}": way for name, way in (directions or {}).items()},
        )
        self.first: float | None = None
        self.last: float | None = None

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id

    def candidate(
        self,
        name: str,
        *,
        ended_at: float,
        kpis: Mapping[str, object] | None = None,
        metadata: Mapping[str, object] | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Return the cells of a candidate; the arguments are those of `Run.candidate`, times Unix seconds.

        Raises `Unreadable`, also of a name that the run has had.
        """
        numbers = {key: plain for key, one in (kpis or {}).items() if (plain := finite(one)) is not None}
        others = {f"score.{key}": one for key, one in (kpis or {}).items() if key not in numbers}
        about = {key: value for key, value in {**others, **(metadata or {})}.items() if value is not None}
        self.run.candidate(name, ended_at=ended_at, kpis=numbers, metadata=about, **fields)
        cells = self.taken.give()
        if not cells:
            raise Unreadable(f"the run has a candidate {name!r} already")
        duration = cells.get("duration_seconds")
        begun = ended_at if duration is None else ended_at - float(duration)
        self.first = begun if self.first is None else min(self.first, begun)
        self.last = ended_at if self.last is None else max(self.last, ended_at)
        cells["rollback_performed"] = cells["status"] == "rolled_back"
        return cells if self.judges else {**cells, "direction": None}

    def ended(self, metadata: Mapping[str, object] | None = None) -> dict[str, Any] | None:
        """Return the cells of the run itself, as of its last candidate's end; None if it has none."""
        if self.first is None:
            return None
        self.run.end(metadata=metadata)
        own = {"evolution_type": f"{self.run.framework}_run", "started_at": self.first}
        cells = {**self.taken.give(), **own, "occurred_at": self.last}
        cells["metadata"] = {**self.run.directions, **cells["metadata"]}
        return cells


def row_of(
    table: str,
    place: Mapping[str, int | str],
    cells: Callable[[], dict[str, Any]],
    shown: Mapping[str, Any],
) -> SourceRow:
    """Return the row with these cells; if they can't be made, one that says why and shows what there is."""
    try:
        return SourceRow("evolution", table, place, cells())
    except Unreadable as error:
        problem = str(error)
    except MALFORMED as error:
        problem = f"can't be read: {error!r:.300}"
    return SourceRow("evolution", table, place, shown, problem)


def json_object(name: str, value: object) -> dict[str, Any]:
    """Return the object in a text of JSON, in which numbers may be NaN or infinite; empty if there is none.

    Raises `Unreadable`.
    """
    if value is None or value == "":
        return {}
    try:
        found = json.loads(str(value), parse_int=bounded_int)
    except (ValueError, RecursionError):
        refuse(name, value, "is not JSON")
    if not isinstance(found, dict):
        refuse(name, value, "is not an object")
    return found
