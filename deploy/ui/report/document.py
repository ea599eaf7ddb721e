"""A report as one HTML document: styles and pictures within it, no script, no request to anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from evometrics.deploy.ui.charts import svg
from evometrics.deploy.ui.rendering import environment
from evometrics.deploy.ui.report import words
from evometrics.deploy.ui.report.gathering import Findings, SectionRows

#: Styles in their order: the pages', then what a document has of its own.
STYLES = ("page.css", "report.css")
#: Longest text of a candidate that is shown, characters; longer ones end with a note.
MOST_TEXT = 20_000


def html(report: Findings) -> str:
    """Return the document."""
    template = environment().get_template("report.html")
    folder = resources.files("evometrics.deploy.ui") / "static"
    styles = "\n".join((folder / name).read_text(encoding="utf-8") for name in STYLES)
    return template.render(report=report, styles=styles, words=words, picture=picture, cut=cut)


def picture(answer: SectionRows) -> str:
    """Return an answer's chart as SVG whose marks lead nowhere; empty where there is none to draw."""
    if answer.section.draw is None or not answer.rows:
        return ""
    return svg(unlinked(answer.section.draw(answer.rows)))


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
