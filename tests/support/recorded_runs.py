"""What the adapters of frameworks recorded on a node without a broker, read back from its history."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from evometrics.producers.recording import Recorder
from evometrics.schemas.events import EvolutionCompleted, EvolutionProgressed, EvolutionStarted
from evometrics.schemas.wire.framing import WireFormat


def recorder_in(folder: Path, **config: Any) -> Recorder:
    """Return a recorder without a broker, whose events stay in a file in the folder."""
    return Recorder({"db_path": str(folder / "node.db"), **config})


@dataclass(frozen=True)
class RecordedRuns:
    """Events in the order in which they were recorded.

    Attributes:
        candidates: completions of candidates, whose agent is `run_id/name`.
        sessions: completions of the runs themselves.
    """

    started: list[EvolutionStarted]
    candidates: list[EvolutionCompleted]
    progress: list[EvolutionProgressed]
    sessions: list[EvolutionCompleted]

    @classmethod
    def of(cls, recorder: Recorder, folder: Path) -> Self:
        """Close the recorder, and read everything in its file."""
        recorder.close()
        assert recorder.lost == 0
        with closing(sqlite3.connect(folder / "node.db")) as db:
            values = db.execute("SELECT value FROM events ORDER BY rowid")
            events = [WireFormat().decode(value) for (value,) in values]
        completed = [each for each in events if isinstance(each, EvolutionCompleted)]
        return cls(
            started=[each for each in events if isinstance(each, EvolutionStarted)],
            candidates=[each for each in completed if not each.evolution_type.endswith("_run")],
            progress=[each for each in events if isinstance(each, EvolutionProgressed)],
            sessions=[each for each in completed if each.evolution_type.endswith("_run")],
        )

    @property
    def by_name(self) -> dict[str, EvolutionCompleted]:
        """The candidates by name; no two have the same."""
        found = {name_of(each.agent_id): each for each in self.candidates}
        assert len(found) == len(self.candidates)
        return found

    @property
    def scores(self) -> dict[str, dict[str, float]]:
        """The KPIs of each candidate after its evolution."""
        return {name: dict(each.post_kpis) for name, each in self.by_name.items()}

    @property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """The names of each candidate's parents."""
        return {name: tuple(map(name_of, each.parent_agent_ids)) for name, each in self.by_name.items()}


def name_of(agent_id: str) -> str:
    """Return a candidate's own name."""
    return agent_id.partition("/")[2]
