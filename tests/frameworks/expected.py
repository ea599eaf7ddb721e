"""What a framework itself says of a run, in the terms of the events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Candidate:
    """One candidate as its framework has it.

    Attributes:
        agent_id: `run_id/name`.
        kpis: its objectives' values, to the bit, by KPI; empty where it failed or was never evaluated.
        parents: agent ids, in the framework's order.
    """

    agent_id: str
    kpis: Mapping[str, float]
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expected:
    """All candidates of one or more runs.

    Attributes:
        run_ids: of the runs; every completion below `run_id/` is a candidate.
        objectives: the KPIs that are compared; any others are left alone.
        candidates: failed, pruned, rejected and displaced ones, too.
    """

    run_ids: tuple[str, ...]
    objectives: tuple[str, ...]
    candidates: tuple[Candidate, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return what `to_dict` gave, after JSON."""
        each = [Candidate(c["agent_id"], c["kpis"], tuple(c["parents"])) for c in found["candidates"]]
        return cls(tuple(found["run_ids"]), tuple(found["objectives"]), tuple(each))
