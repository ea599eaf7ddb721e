"""A framework's own account beside the rows in ClickHouse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.frameworks.expected import Expected
from tests.support.tables import client

HEADINGS = ("framework", "version", "candidates", "in ClickHouse", "lost", "doubled", "scores", "parents")


@dataclass(frozen=True)
class Row:
    """A completion in ClickHouse: its KPIs after the evolution, and its parents."""

    agent_id: str
    kpis: Mapping[str, float]
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """What differs: `scores` and `parents` are the numbers of candidates that differ in them."""

    candidates: int
    stored: int
    lost: int
    doubled: int
    scores: int
    parents: int

    @property
    def same(self) -> bool:
        return not (self.lost or self.doubled or self.scores or self.parents) and (
            self.candidates == self.stored
        )


def compare(expected: Expected, rows: Sequence[Row], derived: Sequence[str]) -> Compared:
    """Compare a framework's candidates with their completions and the agents of rows that the stream derived.

    A candidate is lost where either is missing; doubled is how many more rows than agents either table has.
    """
    wanted = {each.agent_id: each for each in expected.candidates}
    assert len(wanted) == len(expected.candidates), "a framework gave two candidates the same name"
    found = {row.agent_id: row for row in rows}
    both = wanted.keys() & found.keys()
    names = expected.objectives
    return Compared(
        candidates=len(wanted),
        stored=len(found),
        lost=len(wanted.keys() - (found.keys() & set(derived))),
        doubled=len(rows) - len(found) + len(derived) - len(set(derived)),
        scores=sum(
            {name: wanted[agent].kpis.get(name) for name in names}
            != {name: found[agent].kpis.get(name) for name in names}
            for agent in both
        ),
        parents=sum(wanted[agent].parents != found[agent].parents for agent in both),
    )


def stored(url: str, run_ids: Sequence[str]) -> tuple[list[Row], list[str]]:
    """Return the completions of runs' candidates, and the agent ids of their rows in `evolution_metrics`."""
    where = " OR ".join(f"startsWith(agent_id, '{run_id}/')" for run_id in run_ids)
    with client(url) as connected:
        completed = connected.query(
            f"SELECT agent_id, post_kpis, parent_agent_ids FROM evolution_completed WHERE {where}"
        ).result_rows
        derived = connected.query(f"SELECT agent_id FROM evolution_metrics WHERE {where}").result_rows
    return [Row(a, kpis, tuple(parents)) for a, kpis, parents in completed], [a for (a,) in derived]


def line(framework: str, version: str, found: Compared) -> tuple[str, ...]:
    """Return a framework's line of the table, by `HEADINGS`."""
    numbers = (found.candidates, found.stored, found.lost, found.doubled, found.scores, found.parents)
    return (framework, version, *map(str, numbers))
