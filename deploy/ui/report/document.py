"""A report as one HTML document: styles and pictures within it, no script, no request to anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from evometrics.deploy.ui.charts import fitted, svg
from evometrics.deploy.ui.rendering import environment
from evometrics.deploy.ui.report import words
from evometrics.deploy.ui.report.findings import Findings, SectionRows

#: Styles in their order: the pages', then what a document has of its own.
STYLES = ("page.css", "report.css")
#: Widths of charts, and where each is shown: on phones the narrow ones.
CHARTS = ((860, "wide"), (340, "narrow"))
#: Lines of a difference that are shown, and characters of each.
MOST_LINES, LINE_LENGTH = 200, 300
#: Longest text of a candidate that is shown, characters; longer ones end with a note.
MOST_TEXT = 20_000


def html(report: Findings) -> str:
    """Return the document."""
    template = environment().get_template("report.html")
    folder = resources.files("evometrics.deploy.ui") / "static"
    styles = "\n".join((folder / name).read_text(encoding="utf-8") for name in STYLES)
    return template.render(
        report=report,
        styles=styles,
        words=words,
        picture=picture,
        charts=CHARTS,
        cut=cut,
        most_lines=MOST_LINES,
        line_length=LINE_LENGTH,
    )


def picture(answer: SectionRows, width: int) -> str:
    """Return an answer's chart as SVG, so many pixels wide, whose marks lead nowhere; empty without one."""
    if answer.section.draw is None or not answer.rows:
        return ""
    return svg(fitted(unlinked(answer.section.draw(answer.rows)), width))


def unlinked(spec: Any) -> Any:
    """Return a chart's specification without links: a document has no pages that they could lead to."""
    if isinstance(spec, Mapping):
        return {name: unlinked(value) for name, value in spec.items() if name not in ("href", "link")}
    return [unlinked(each) for each in spec] if isinstance(spec, list) else spec


def cut(text: str) -> str:
    """Return a text, or its beginning with how much is left out."""
    if len(text) <= MOST_TEXT:
        return text
    return f"{text[:MOST_TEXT]}\n… {len(text) - MOST_TEXT:,} more characters"
