"""Charts as Vega-Lite specifications, and their pictures: SVG for pages, PNG for downloads.

The pictures are drawn here, not in the browser: a page needs no script to show one, every mark of it carries
its values as text for screen readers, and a mark with a link is a link.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import altair as alt
import vl_convert
from altair.utils import schemapi

from evometrics.deploy.ui.looks import (
    AUTOSIZE,
    CONFIG,
    HEIGHT,
    NARROW,
    STATUS_COLOURS,
    STATUS_SHAPES,
    TIMES,
    WIDTH,
    WIDTHS,
    WORDS,
)
from evometrics.deploy.ui.page import Rows, address

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
    """Return a value as JSON has it; times without a zone are UTC."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return str(value)


def bars(rows: Rows, seconds: int, counted: str) -> alt.Chart:
    """Return bars over time, each as wide as its seconds, which begin at its `time`.

    `counted`: the column of their heights. Bars of one time stand on each other, those of statuses in the
    statuses' order.
    """
    ranks = {status: rank for rank, status in enumerate(STATUS_COLOURS)}
    tops: dict[Any, int] = defaultdict(int)
    stacked = []
    for row in sorted(rows, key=lambda row: ranks.get(row.get("status", ""), 0)):
        bottom = tops[row["time"]]
        top = tops[row["time"]] = bottom + row[counted]
        end = row["time"] + timedelta(seconds=seconds * 0.92)
        stacked.append({**row, "end": end, "bottom": bottom, "top": top})
    y = alt.Y("bottom:Q", title=counted.capitalize(), axis=alt.Axis(tickMinStep=1, format="d"))
    drawn: alt.Chart = alt.Chart(data(stacked)).mark_bar().encode(x=time_axis(), x2="end:T", y=y, y2="top:Q")
    return drawn


def finished(chart: alt.TopLevelMixin, description: str) -> dict[str, Any]:
    """Return a chart's specification, with a description that says in words what it shows.

    Its parts were checked as they were made, unless altair's debug mode is off; the whole is not once more.
    """
    made = chart.to_dict(validate=False)
    return {**made, "description": description, "config": CONFIG, "autosize": AUTOSIZE}


def fitted(spec: Mapping[str, Any], width: int) -> dict[str, Any]:
    """Return a specification whose picture is as wide as said, in pixels, with everything in it."""
    config = spec["config"]
    if width < NARROW:
        legend = {**config["legend"], "columns": 3, "labelLimit": 90}
        config = {**config, "legend": legend, "axis": {**config["axis"], "labelLimit": 92}}
    return {**spec, "width": width, "config": config}


def width_near(pixels: float) -> int:
    """Return the width of a picture for so much space."""
    return min(WIDTHS, key=lambda width: max(width / pixels, pixels / width) if pixels > 0 else width)


def status_colour(rows: Rows = ()) -> alt.Color:
    """Return the channel that colours marks by status; its legend has those that the rows have."""
    found = present(rows)
    scale = alt.Scale(domain=found, range=[STATUS_COLOURS[each] for each in found])
    return alt.Color("status:N", title=None, scale=scale, legend=alt.Legend(labelExpr=WORDS))


def status_shape(rows: Rows = ()) -> alt.Shape:
    """Return the channel that shapes points by status."""
    found = present(rows)
    scale = alt.Scale(domain=found, range=[STATUS_SHAPES[each] for each in found])
    return alt.Shape("status:N", title=None, scale=scale, legend=alt.Legend(labelExpr=WORDS))


def present(rows: Rows) -> list[str]:
    """Return the statuses that rows have, all where there are none."""
    found = {row["status"] for row in rows}
    return [each for each in STATUS_COLOURS if each in found] or list(STATUS_COLOURS)


def time_axis(column: str = "time", title: str = "Time (UTC)") -> alt.X:
    """Return the channel of a time across the chart."""
    return alt.X(f"{column}:T", title=title, scale=alt.Scale(type="utc"), axis=alt.Axis(labelExpr=TIMES))


def share_axis(column: str, title: str) -> dict[str, Any]:
    """Return what a channel of a share has: 0 to 1, in per cent."""
    return {
        "shorthand": f"{column}:Q",
        "title": title,
        "scale": alt.Scale(domain=[0, 1]),
        "axis": alt.Axis(format=".0%", tickCount=5),
    }


def tooltip(*columns: tuple[str, str]) -> list[alt.Tooltip]:
    """Return what is said of a mark, as pairs of column with type, and title."""
    return [alt.Tooltip(column, title=title) for column, title in columns]


def svg(spec: Mapping[str, Any]) -> str:
    """Return a chart's picture as SVG, to stand within a page.

    Its links are followed from the keyboard by way of the chart (page.js) and of the table below it: in
    the order of tabs, thousands of dots would bar the way to everything after them.
    """
    return svg_of(json.dumps(spec, sort_keys=True))


@lru_cache(maxsize=MOST_PICTURES)
def svg_of(spec: str) -> str:
    picture: str = vl_convert.vegalite_to_svg(json.loads(spec))
    return picture.replace(f'href="{ELSEWHERE}', 'href="').replace("<a ", '<a tabindex="-1" ')


def png(spec: Mapping[str, Any]) -> bytes:
    """Return a chart's picture as PNG on white, twice as large as on the page."""
    return vl_convert.vegalite_to_png({**spec, "background": "white"}, scale=2)


def warm_up() -> None:
    """Have charts drawn fast: altair checks no part of them, and the first is drawn, which takes longest."""
    schemapi.disable_debug_mode()
    rows = [{"x": 0}]
    svg(layered([alt.Chart(data(rows)).mark_point().encode(x="x:Q")], "Nothing."))


def layered(layers: Sequence[alt.Chart], description: str, *, height: int = HEIGHT) -> dict[str, Any]:
    """Return charts over each other, as one."""
    return finished(alt.layer(*layers).properties(width=WIDTH, height=height), description)
