"""What a page is: choices that its address holds, and sections that each show one statement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from evometrics.schemas.errors import EvometricsError

#: A row of an answer, by column.
Row = Mapping[str, Any]
Rows = Sequence[Row]
#: Runs a statement with values, and returns its rows.
Ask = Callable[[str, Mapping[str, Any]], Awaitable[Rows]]
#: Makes a Vega-Lite chart of a section's rows.
Draw = Callable[[Rows], Mapping[str, Any]]


class BadChoice(EvometricsError, ValueError):
    """The address of a page holds a value that the page does not take; the message names both."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that a reader chooses on a page; the page's address holds it.

    Attributes:
        name: its name in the address.
        label: what the page calls it.
        default: its value where the address has none.
        options: the values it can have, with what the page calls them; empty = any text.
        suggestions: a statement whose first column has texts to suggest; empty = none.
    """

    name: str
    label: str
    default: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    suggestions: str = ""

    def value(self, given: Mapping[str, str]) -> str:
        """Return the value that an address holds. Raises `BadChoice`."""
        text = given.get(self.name, "").strip() or self.default
        if self.options and text not in self.options:
            raise BadChoice(f"{self.name}={text!r}: give one of {', '.join(self.options)}")
        return text


@dataclass(frozen=True, slots=True)
class Section:
    """One statement, and what is shown of its rows.

    Attributes:
        name: its name in the addresses of its CSV and PNG.
        sql: the statement, with ClickHouse's parameters (`{hours:UInt32}`).
        values: the parameters' values.
        draw: makes its chart; None = a table only.
        unfolded: whether its rows are open below its chart.
        note: what a reader must know to read it, one or two sentences.
        told: says more of that from the rows, such as how many of how many are shown.
        find: finds the statement's rows by others that read less; None = the statement is run.
        whole: values of parameters in place of those in `values` for the CSV, which has all rows.
        links: by column, the page that a cell leads to, and the name of the choice that the cell's value is.
        kind: `table`; `figures` shows the one row as names and values; `text` shows its `text`, `difference`
            what became of each row's `parent_text` in its `text`.
        empty: what is shown where there are no rows.
        actions: addresses of pages that change something, by what they are called; shown where it is allowed.
    """

    name: str
    title: str
    sql: str
    values: Mapping[str, Any] = field(default_factory=dict)
    draw: Draw | None = None
    unfolded: bool = False
    note: str = ""
    told: Callable[[Rows], str] | None = None
    find: Callable[[Ask], Awaitable[Rows]] | None = None
    whole: Mapping[str, Any] = field(default_factory=dict)
    links: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    kind: str = "table"
    empty: str = "Nothing yet."
    actions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        name: its path.
        summary: what it answers, one sentence.
        sections: makes its sections from the values of its choices.
        listed: whether the navigation shows it; others are reached by links.
    """

    name: str
    title: str
    summary: str
    sections: Callable[[Mapping[str, str]], Sequence[Section]]
    choices: tuple[Choice, ...] = ()
    listed: bool = True

    def state(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return the value of each choice. Raises `BadChoice`."""
        return {choice.name: choice.value(given) for choice in self.choices}


#: A limit for those who want all rows.
NO_LIMIT = 2**32 - 1


def share(drawn: int, total: int, what: str) -> str:
    """Return the sentence that says how many of how many are drawn; empty where all are."""
    return f"{drawn:,} of {total:,} {what} are drawn." if drawn < total else ""


def address(page: str, **choices: object) -> str:
    """Return the address of a page, relative to the root."""
    query = urlencode({name: value for name, value in choices.items() if value not in (None, "")})
    return f"/{page}?{query}" if query else f"/{page}"
