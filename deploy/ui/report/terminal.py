"""A report as plots in a terminal, by plotext: scores in the order of the candidates, success by strategy.

Statuses differ by sign, not by colour alone. Where the output can't be written with lines and dots, it has
ASCII; where it is no terminal, or NO_COLOR is set (https://no-color.org), it has no colours.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from evometrics.deploy.console.tables import one_line
from evometrics.deploy.ui.page import Row, Rows
from evometrics.deploy.ui.report import words
from evometrics.deploy.ui.report.findings import Findings

MISSING = "plots need plotext, which is not installed: pip install 'evometrics[ui]'"
#: Columns of a plot; a terminal that is narrower gets what it has.
WIDEST, NARROWEST = 100, 40
SCORES_HIGH = 16
#: Runs of a night that are plotted.
MOST_RUNS = 2
MOST_NAMES = 12
MOST_LETTERS = 28
#: Of the 16 colours, which each terminal shows as its user likes to see them.
RED, GREEN, BLUE = 9, 10, 12
#: Lines and dots, and what stands for them in ASCII.
SIGNS: dict[str, str] = {"─": "-", "│": "|", "●": "o", "×": "x", "–": "-", "−": "-", "…": "."}
SIGNS |= dict.fromkeys("┌┐└┘├┤┬┴┼", "+")
KEY = "● kept  × not kept  ─ best so far"
TICKS = 6


@dataclass(frozen=True, slots=True)
class Screen:
    """What plots are written to.

    Attributes:
        columns: how wide it is.
        colours: whether it takes colours.
        ascii_only: whether it can write no more than ASCII.
    """

    columns: int
    colours: bool
    ascii_only: bool

    @classmethod
    def of(cls, out: TextIO) -> Screen:
        """Return what a stream can show."""
        columns = shutil.get_terminal_size().columns - 1
        colours = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        try:
            "".join(SIGNS).encode(out.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            return cls(columns, colours, True)
        return cls(columns, colours, False)

    def written(self, lines: Sequence[str]) -> str:
        """Return lines as the output can write them."""
        text = "\n".join(each if "\n" in each else one_line(each) for each in lines)
        if not self.ascii_only:
            return text
        return (
            text.translate({ord(sign): plain for sign, plain in SIGNS.items()})
            .encode("ascii", "replace")
            .decode()
        )


def plots(findings: Findings, screen: Screen) -> str:
    """Return the plots, or a line where plotext, which draws them, is not installed."""
    lines = [findings.subject.title]
    if findings.empty:
        return screen.written([*lines, words.nothing(findings)])
    lines += [words.outcome(findings), *filter(None, (words.state(findings), findings.subject.note))]
    try:
        import plotext
    except ModuleNotFoundError:
        return screen.written([*lines, MISSING])
    plot = Plot(plotext, screen)
    for part in findings.parts[:MOST_RUNS]:
        if any(row["score"] is not None for row in part.scores.rows):
            title = f"{words.objective(part.objective)}, {part.title}"
            lines += ["", f"{title}: {KEY}", plot.scores(part.scores.rows)]
    for table in findings.by:
        if table.name == "strategy":
            lines += ["", "Success by strategy, with its 95 % interval", plot.success(table.rows)]
    return screen.written(lines)


class Plot:
    """Draws plots for a screen."""

    def __init__(self, plotext: Any, screen: Screen) -> None:
        self.plotext, self.screen = plotext, screen
        self.figure = plotext.figure

    def scores(self, rows: Rows) -> str:
        """Return the score of each candidate in their order, and the best so far."""
        self.begin(SCORES_HIGH)
        scored = [row for row in rows if row["score"] is not None]
        best = [row for row in rows if row["best_so_far"] is not None]
        self.figure.draw(self.points(best, "best_so_far", "─", BLUE).lines())
        for sign, colour, kept in (("×", RED, False), ("●", GREEN, True)):
            points = [row for row in scored if (row["status"] == "succeeded") is kept]
            if points:
                self.figure.draw(self.points(points, "score", sign, colour))
        first, last = rows[0]["candidate"], rows[-1]["candidate"]
        ticks = sorted({first + (last - first) * number // TICKS for number in range(TICKS + 1)})
        self.figure.ruler("x").ticks(ticks, [f"{each:,}" for each in ticks])
        self.figure.label("candidate", "x")
        return self.drawn()

    def success(self, rows: Rows) -> str:
        """Return the success rate by strategy with its interval, a line each, most attempts first."""
        shown = [row for row in rows[:MOST_NAMES] if row["success_rate"] is not None]
        high = len(shown)
        self.begin(high + 3)
        places = list(range(high, 0, -1))
        names = [clipped(str(row["strategy"])) for row in shown]
        self.figure.ruler("y").lim(0.5, high + 0.5)
        self.figure.ruler("y").ticks(places, names)
        self.figure.ruler("x").lim(0, 1.25)
        self.figure.ruler("x").ticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100 %"])
        for place, row in zip(places, shown, strict=True):
            reach = self.figure.segment(
                (row["low"], row["high"]), (place, place), marker=self.sign("─", BLUE)
            )
            self.figure.draw(reach)
            point = self.figure.signal([row["success_rate"]], [place], marker=self.sign("●", GREEN))
            self.figure.draw(point)
            told = f"{row['success_rate']:.0%} of {row['attempts']}"
            self.figure.draw(self.figure.text(row["high"] + 0.02, place, told))
        return self.drawn()

    def begin(self, height: int) -> None:
        """Begin a plot of so many lines."""
        self.figure.clear()
        self.figure.theme("simple")
        self.figure.plot_size(max(NARROWEST, min(WIDEST, self.screen.columns)), height)

    def points(self, rows: Sequence[Row], column: str, sign: str, colour: int) -> Any:
        """Return a column's values over the candidates' numbers."""
        xs, ys = [row["candidate"] for row in rows], [row[column] for row in rows]
        return self.figure.signal(xs, ys, marker=self.sign(sign, colour))

    def sign(self, sign: str, colour: int) -> Any:
        """Return a marker."""
        return self.plotext.marker(sign, pixel=colour)

    def drawn(self) -> str:
        """Return the plot."""
        text: str = self.figure.build().string(colorless=not self.screen.colours)
        return text.rstrip("\n")


def clipped(name: str) -> str:
    """Return a name as it stands beside a line; signs that a terminal obeys are written out."""
    text = one_line(name)
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"
