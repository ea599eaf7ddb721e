"""What a report is about: a night or a run, as a condition that takes the place of a page's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from evometrics.deploy.ui.page import Section
from evometrics.deploy.ui.pages.statements import OF_RUN, SINCE
from evometrics.sinks.query.text import parameters

#: How the pages' statements choose rows: those since a time, or those of a run.
OF_A_RUN = "run_id = {run:String}"
WITHIN = "occurred_at >= {since:DateTime64(6)} AND occurred_at < {until:DateTime64(6)}"
LATER = "occurred_at >= {since:DateTime64(6)}"
WITHOUT_RUN = "ifNull(run_id, '') = ''"
#: A night is from noon to noon.
NOON = time(12)


@dataclass(frozen=True, slots=True)
class Subject:
    """The rows that a report, or a part of one, is about.

    Attributes:
        title: what it is called.
        condition: what its rows have in common, as SQL over `evolution_metrics` and `evolution_completed`.
        values: values of the condition's parameters.
        ended_when: what rows have in common that may be the end of what began within it.
        since: when it begins; None for a run.
        until: before which it ends; None for a run.
        note: what a reader must know of it, a sentence.
    """

    title: str
    condition: str
    values: Mapping[str, Any] = field(default_factory=dict)
    ended_when: str = ""
    since: datetime | None = None
    until: datetime | None = None
    note: str = ""

    def of(self, section: Section, *, and_only: str = "") -> Section:
        """Return a page's section about the rows of this subject alone; `and_only` is a further condition.

        Raises `ValueError` for a section that is not about a time or a run.
        """
        own = f"{self.condition} AND {and_only}" if and_only else self.condition
        if SINCE not in section.sql and OF_RUN not in section.sql:
            raise ValueError(f"section {section.name} is about neither a time nor a run")
        sql = section.sql.replace(SINCE, own).replace(OF_RUN, own.replace(OF_A_RUN, OF_RUN))
        known = {**section.values, **self.values}
        return replace(section, sql=sql, values={each: known[each] for each in parameters(sql)}, find=None)

    def within(self, run: str | None) -> Subject:
        """Return the part of this subject that belongs to a run; None is what belongs to none."""
        if run is None:
            return replace(
                self, title="Agents without a run", condition=f"{self.condition} AND {WITHOUT_RUN}"
            )
        values = {**self.values, "run": run}
        return replace(self, title=run, condition=f"{self.condition} AND {OF_A_RUN}", values=values)


def night(day: date, zone: tzinfo = UTC) -> Subject:
    """Return the night that begins on a day: from its noon to the next day's, in a time zone."""
    since, until = (
        datetime.combine(each, NOON, zone).astimezone(UTC) for each in (day, day + timedelta(days=1))
    )
    title = f"Night of {day.day} {day:%B %Y}"
    return Subject(title, WITHIN, {"since": since, "until": until}, LATER, since, until)


def night_of(moment: datetime, zone: tzinfo = UTC) -> date:
    """Return the day on which the night began that a moment belongs to."""
    local = moment.astimezone(zone)
    return local.date() if local.time() >= NOON else local.date() - timedelta(days=1)


def of_nodes(title: str, nodes: Sequence[str]) -> Subject:
    """Return what some nodes recorded, whenever that was."""
    condition = "node_id IN {nodes:Array(String)}"
    return Subject(title, condition, {"nodes": list(nodes)}, condition)


def run(run_id: str) -> Subject:
    """Return a run, whenever its evolutions were."""
    return Subject(f"Run {run_id}", OF_A_RUN, {"run": run_id}, OF_A_RUN)
