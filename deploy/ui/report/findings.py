"""What a report shows, as it was found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from evometrics.deploy.ui.page import Row, Rows, Section
from evometrics.deploy.ui.report.subject import Subject


@dataclass(frozen=True, slots=True)
class SectionRows:
    """A section and its rows."""

    section: Section
    rows: Rows

    @property
    def name(self) -> str:
        """The first column."""
        return next(iter(self.first), "")

    @property
    def told(self) -> str:
        """What the section says of its rows, such as how many of how many are drawn."""
        return self.section.told(self.rows) if self.section.told and self.rows else ""

    @property
    def first(self) -> Row:
        """The one row of a section of figures; empty where there is none."""
        return self.rows[0] if self.rows else {}


@dataclass(frozen=True, slots=True)
class BestCandidate:
    """The best candidate that was kept: its row, its KPIs before and after, and its text."""

    row: Row
    kpis: SectionRows
    insights: SectionRows
    text: SectionRows
    difference: SectionRows

    @property
    def compared(self) -> bool:
        """Whether there is a text of a parent to compare its own with."""
        return any(row["parent_text"] is not None for row in self.difference.rows)


@dataclass(frozen=True, slots=True)
class RunFindings:
    """A run, or what belongs to none.

    Attributes:
        run: its id; empty where there is none.
        objective: what scores are, and which are better.
        short: the figures of the run's page, one row.
        scores: its candidates in order, with the best so far.
        best: the best of those that were kept; None where none has a score.
        others: the next best.
    """

    run: str
    title: str
    objective: Row
    short: Row
    scores: SectionRows
    generations: SectionRows
    best: BestCandidate | None
    others: SectionRows


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that a report shows.

    Attributes:
        made_at: when it was asked for.
        about: what the rows are about; empty where there are none.
        whole: the strategies page's figures of all rows together.
        by: the same by strategy, and by whatever else there are several of.
        ended: the end of each run that has one.
        still_open: what began and has not ended; empty where nothing.
        last_at: when anything ended last, where this report has nothing.
    """

    subject: Subject
    made_at: datetime
    about: Row
    whole: SectionRows
    statuses: SectionRows
    by_time: SectionRows
    by: tuple[SectionRows, ...]
    reasons: SectionRows
    parts: tuple[RunFindings, ...]
    more_parts: int
    ended: Row
    still_open: Row
    last_at: datetime | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing was recorded."""
        return not self.about

    @property
    def open_runs(self) -> frozenset[str]:
        """The runs that have begun and not ended."""
        return frozenset(self.still_open.get("runs", ())) - frozenset(self.ended)

    @property
    def going_on(self) -> bool:
        """Whether more may come: the night is not over, or something that began has not ended."""
        not_over = self.subject.until is not None and self.made_at < self.subject.until
        return not_over or bool(self.open_runs) or bool(self.still_open.get("evolutions"))
