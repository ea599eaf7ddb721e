"""Charts as Vega-Lite specifications, and their pictures: SVG for pages, PNG for downloads.

The pictures are drawn here, not in the browser: a page needs no script to show one, every mark of it carries
its values as text for screen readers, and a mark with a link is a link.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import altair as alt
import vl_convert

from evometrics.deploy.ui.page import Rows, address

#: Okabe and Ito's colours, which people who are colour-blind tell apart; by a status' meaning.
STATUS_COLOURS = {
    "succeeded": "#009e73",
    "rolled_back": "#e69f00",
    "rejected": "#cc79a7",
    "pruned": "#56b4e9",
    "failed": "#d55e00",
    "abandoned": "#888888",
}
PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#888888"]
#: Shapes tell statuses apart without colour.
STATUS_SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down"]
WIDTH, HEIGHT = 720, 240
#: What vl-convert 1.9 puts before a link within this site (findings/vl-convert-links-to-another-site.sh).
ELSEWHERE = "https://vega.github.io/vega-datasets/"
#: Most pictures that are kept.
MOST_PICTURES = 64


def data(rows: Rows) -> alt.InlineData:
    """Return rows as a chart's data: times as ISO text, ids as text, NaN and infinities as missing."""
    return alt.InlineData(
        values=json.loads(json.dumps([{k: plain(v) for k, v in row.items()} for row in rows]))
    )


def linked(rows: Rows, page: str, choice: str, column: str) -> list[dict[str, Any]]:
    """Return rows with a `link` each, to a page whose choice is the column's value."""
    return [{**row, "link": address(page, **{choice: row[column]})} for row in rows]


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)


def finished(chart: alt.TopLevelMixin, description: str) -> dict[str, Any]:
    """Return a chart's specification, with a description that says in words what it shows."""
    ready = chart.configure(background="transparent", font="sans-serif").configure_range(category=PALETTE)
    return {**ready.to_dict(), "description": description}


def status_colour() -> alt.Color:
    """Return the channel that colours marks by status."""
    scale = alt.Scale(domain=list(STATUS_COLOURS), range=list(STATUS_COLOURS.values()))
    return alt.Color("status:N", title="Status", scale=scale)


def status_shape() -> alt.Shape:
    """Return the channel that shapes points by status."""
    return alt.Shape(
        "status:N", title="Status", scale=alt.Scale(domain=list(STATUS_COLOURS), range=STATUS_SHAPES)
    )


def tooltip(*columns: tuple[str, str]) -> list[alt.Tooltip]:
    """Return what is said of a mark, as pairs of column with type, and title."""
    return [alt.Tooltip(column, title=title) for column, title in columns]


def svg(spec: Mapping[str, Any]) -> str:
    """Return a chart's picture as SVG, to stand within a page."""
    return svg_of(json.dumps(spec, sort_keys=True))


@lru_cache(maxsize=MOST_PICTURES)
def svg_of(spec: str) -> str:
    picture: str = vl_convert.vegalite_to_svg(json.loads(spec))
    return picture.replace(f'href="{ELSEWHERE}', 'href="')


def png(spec: Mapping[str, Any]) -> bytes:
    """Return a chart's picture as PNG on white, twice as large as on the page."""
    return vl_convert.vegalite_to_png({**spec, "background": "white"}, scale=2)


def warm_up() -> None:
    """Draw something, so that the first picture that somebody waits for takes no longer than others."""
    rows = [{"x": 0}]
    svg(layered([alt.Chart(data(rows)).mark_point().encode(x="x:Q")], "Nothing."))


def layered(layers: Sequence[alt.Chart], description: str, *, height: int = HEIGHT) -> dict[str, Any]:
    """Return charts over each other, as one."""
    return finished(alt.layer(*layers).properties(width=WIDTH, height=height), description)
