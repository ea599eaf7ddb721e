"""Turns a page's sections and their rows into HTML."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import jinja2

from evometrics.deploy.ui import cells, columns
from evometrics.deploy.ui.charts import fitted, svg
from evometrics.deploy.ui.database import Database
from evometrics.deploy.ui.difference import difference, lines_of
from evometrics.deploy.ui.looks import WIDTHS
from evometrics.deploy.ui.page import Page, Rows, Section, address
from evometrics.schemas.errors import EvometricsError

#: A chart's picture, and what it shows in words.
Picture = tuple[str, str]
#: Draws a section's rows, so many pixels wide.
Drawing = Callable[[Section, Rows, int], Awaitable[Picture]]

#: Most rows of a table on a page; the CSV has all of them.
MOST_ROWS = 200
#: Most lines of a text or a difference on a page; its file has all of them.
MOST_LINES = 5000
#: Seconds for which a list of suggestions serves all who open a page.
LIST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answered:
    """A section with its answer, or with why there is none."""

    section: Section
    rows: Rows = ()
    picture: str = ""
    description: str = ""
    problem: str = ""

    @property
    def note(self) -> str:
        """What a reader must know, with what the rows say of it."""
        told = self.section.told(self.rows) if self.section.told and self.rows else ""
        return f"{self.section.note} {told}".strip()

    @property
    def table(self) -> Rows:
        """The rows that the page shows."""
        return self.rows[:MOST_ROWS]


@cache
def environment() -> jinja2.Environment:
    """Return the templates; every value in them is text, never markup."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("evometrics.deploy.ui"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(address=address, most_rows=MOST_ROWS, most_lines=MOST_LINES, widths=WIDTHS)
    made.filters.update(shown=cells.shown, whole=cells.whole, instant=columns.instant)
    made.filters.update(difference=difference, lines=lines_of)
    made.filters.update(written=lambda value, column: columns.written(column, value))
    made.filters.update(heading=columns.heading, columns=columns.of_table, figures=columns.figures)
    made.filters.update(numbers=columns.are_numbers)
    made.tests.update(numeric=cells.is_number, long=columns.is_long, time=columns.is_time)
    made.tests.update(text=lambda value: isinstance(value, str | UUID))
    return made


async def shown(database: Database, section: Section, width: int, draw: Drawing) -> Answered:
    """Ask for a section's rows and draw them, so many pixels wide."""
    try:
        rows = await database.rows(section)
    except EvometricsError as error:
        return Answered(section, problem=str(error))
    if section.draw is None or not rows:
        return Answered(section, rows)
    return Answered(section, rows, *await draw(section, rows, width))


async def drawn(section: Section, rows: Rows, width: int) -> Picture:
    """Draw a section's rows now."""
    return await asyncio.to_thread(picture_of, section, rows, width)


def picture_of(section: Section, rows: Rows, width: int) -> Picture:
    assert section.draw is not None
    spec = section.draw(rows)
    return svg(fitted(spec, width)), str(spec["description"])


async def suggestions(database: Database, page: Page) -> dict[str, list[str]]:
    """Return the texts that are suggested for a page's choices."""

    async def suggested(sql: str) -> list[str]:
        try:
            rows = await database.ask(sql, {}, fresh_seconds=LIST_SECONDS)
        except EvometricsError:
            return []
        return [str(next(iter(row.values()))) for row in rows]

    asking = [choice for choice in page.choices if choice.suggestions]
    found = await asyncio.gather(*(suggested(choice.suggestions) for choice in asking))
    return {choice.name: texts for choice, texts in zip(asking, found, strict=True) if texts}


async def rendered(
    database: Database,
    page: Page,
    pages: Sequence[Page],
    state: Mapping[str, str],
    *,
    whole: bool = True,
    width: int = WIDTHS[-1],
    writes: bool = False,
    draw: Drawing = drawn,
) -> str:
    """Return a page's HTML, or only its sections, with charts so many pixels wide, as `draw` has them.

    With `writes` they lead to what changes something.
    """
    suggested = asyncio.create_task(suggestions(database, page)) if whole else None
    answers = await asyncio.gather(*(shown(database, one, width, draw) for one in page.sections(state)))
    values: dict[str, Any] = {"page": page, "answers": answers, "state": state, "query": urlencode(state)}
    values |= {"width": width, "writes": writes}
    if suggested is not None:
        values |= {"pages": pages, "suggestions": await suggested}
    name = "page.html" if whole else "sections.html"
    return await asyncio.to_thread(environment().get_template(name).render, values)
