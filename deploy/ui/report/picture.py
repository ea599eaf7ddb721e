"""A report as one picture: what it says first, and its main charts, on white.

The charts are those of the document. They are placed in one SVG, which vl-convert, which draws them, turns
into PNG: no browser is needed, and a picture of the whole document would be too long to be read in a mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import vl_convert

from evometrics.deploy.ui.columns import written
from evometrics.deploy.ui.report import words
from evometrics.deploy.ui.report.document import picture
from evometrics.deploy.ui.report.findings import Findings

WIDTH, MARGIN = 960, 40
INK, SOFT, LINE, SHEET, ACCENT = "#1b1f24", "#57606a", "#d0d7de", "#f6f8fa", "#0a58a8"
NAMES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
#: Pixels of the picture by pixel of the drawing.
SCALE = 2
MOST_RUNS, MOST_REASONS = 2, 3
MOST_LETTERS = 100
SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)" height="([\d.]+)"')
#: What XML has no way to write.
UNWRITABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class Sheet:
    """A drawing that grows downwards."""

    parts: list[str]
    y: float = MARGIN

    def text(self, text: str, size: int, colour: str = INK, weight: int = 400) -> None:
        """Write a line below what is there."""
        self.y += size
        self.parts.append(line(MARGIN, self.y, text, size, colour, weight))
        self.y += size * 0.5

    def chart(self, svg: str) -> None:
        """Place a chart below what is there, as wide as the sheet at most."""
        size = SIZE.match(svg)
        if size is None:
            return
        wide, high = float(size[1]), float(size[2])
        scale = min(1.0, (WIDTH - 2 * MARGIN) / wide)
        place = f'x="{MARGIN}" y="{self.y + 4:.0f}" width="{wide * scale:.0f}" height="{high * scale:.0f}"'
        self.parts.append(f'<svg {place} viewBox="0 0 {wide} {high}">{svg}</svg>')
        self.y += high * scale + 20


def png(report: Findings) -> bytes:
    """Return the picture as PNG."""
    return vl_convert.svg_to_png(drawn(report), scale=SCALE)


def drawn(report: Findings) -> str:
    """Return the picture as SVG."""
    sheet = Sheet([])
    sheet.text(report.subject.title, 30, weight=700)
    sheet.text(words.period(report), 14, SOFT)
    for said in filter(None, (words.state(report), report.subject.note)):
        sheet.text(said, 14, ACCENT)
    sheet.y += 8
    if report.empty:
        sheet.text(words.nothing(report), 18)
    else:
        sheet.text(words.outcome(report), 20, weight=600)
        cards(sheet, report)
        for said in words.highlights(report):
            sheet.text(said, 14)
        for title, svg in charts(report):
            sheet.y += 16
            sheet.text(title, 18, weight=700)
            sheet.chart(svg)
        reasons(sheet, report)
    sheet.y += 10
    sheet.text(f"Made {words.moment(report.made_at)} UTC by evometrics report.", 12, SOFT)
    height = round(sheet.y + MARGIN)
    size = f'width="{WIDTH}" height="{height}"'
    paper = f'<rect {size} fill="#ffffff"/>'
    return f'<svg {NAMES} {size} viewBox="0 0 {WIDTH} {height}">{paper}{"".join(sheet.parts)}</svg>'


def cards(sheet: Sheet, report: Findings) -> None:
    """Draw the figures that the document begins with."""
    shown = list(words.cards(report))
    gap = 12
    wide = (WIDTH - 2 * MARGIN - gap * (len(shown) - 1)) / len(shown)
    top = sheet.y + 14
    for number, (name, value, note) in enumerate(shown):
        x = MARGIN + number * (wide + gap)
        frame = f'width="{wide:.0f}" height="86" rx="6" fill="{SHEET}" stroke="{LINE}"'
        sheet.parts += [
            f'<rect x="{x:.0f}" y="{top:.0f}" {frame}/>',
            line(x + 12, top + 22, name, 13, SOFT),
            line(x + 12, top + 50, value, 24, INK, 600),
            line(x + 12, top + 72, note, 12, SOFT),
        ]
    sheet.y = top + 96


def charts(report: Findings) -> Iterator[tuple[str, str]]:
    """Yield the main charts with their titles: scores of the greatest runs, success by strategy, times."""
    for part in report.parts[:MOST_RUNS]:
        best = f": {written('score', part.best.row['score'])}, the best that was kept" if part.best else ""
        yield f"{part.title}{best}", picture(part.scores, WIDTH - 2 * MARGIN)
    for answer in report.by:
        if answer.name == "strategy":
            yield answer.section.title, picture(answer, WIDTH - 2 * MARGIN)
    yield "Over time", picture(report.by_time, WIDTH - 2 * MARGIN)


def reasons(sheet: Sheet, report: Findings) -> None:
    """Write what failed most."""
    if not report.reasons.rows:
        return
    sheet.y += 16
    sheet.text("What failed, and why", 18, weight=700)
    sheet.y += 4
    for row in report.reasons.rows[:MOST_REASONS]:
        sheet.text(f"{row['failures']:,} × {row['reason']}", 14)


def line(x: float, y: float, text: str, size: int, colour: str, weight: int = 400) -> str:
    """Return a line of text, cut where it is long."""
    kept = UNWRITABLE.sub("�", text.replace("\n", " "))
    kept = kept if len(kept) <= MOST_LETTERS else f"{kept[: MOST_LETTERS - 1]}…"
    style = f'font-family="sans-serif" font-size="{size}" font-weight="{weight}" fill="{colour}"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(kept)}</text>'
