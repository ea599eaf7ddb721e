"""Colours, shapes and sizes of charts, in light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Colours by a status' meaning. Each stands out from white by 3:1 and more (WCAG 1.4.11), and any two from
#: each other by 0.08 in OKLab, as they are and as people with protanopia, deuteranopia and tritanopia see
#: them (simulated as Machado, Oliveira and Fernandes do, 2009); Okabe and Ito's come to 2.3:1 and 0.03.
STATUS_COLOURS = {
    "succeeded": "#0b7a67",
    "rolled_back": "#b58e0c",
    "rejected": "#8e1ba4",
    "pruned": "#2b95f7",
    "failed": "#d1390f",
    "abandoned": "#4d4d4d",
}
ACCENT = "#0b5cad"
PALETTE = [ACCENT, "#b58e0c", "#8e1ba4", "#0b7a67", "#d1390f", "#2b95f7", "#4d4d4d"]
#: Shades of a share, from none to all.
SHARES = ["#e3eef0", "#b4d8d6", "#76b8b2", "#38958a", "#0a5f52"]
#: Axes and whatever is in the background.
GRID, SOFT, INK = "#dfe3e8", "#5f6973", "#1b1f24"
#: The same on a dark page, where page.css exchanges each for the other.
DARK = {
    "#0b7a67": "#1abbad",
    "#b58e0c": "#a06d28",
    "#8e1ba4": "#b47cff",
    "#2b95f7": "#4787a8",
    "#d1390f": "#ff7830",
    "#4d4d4d": "#e5e5e5",
    ACCENT: "#6cb2ff",
    **dict(zip(SHARES, ["#1d2a30", "#1f4a4b", "#1f7069", "#1c9c90", "#5ff0df"], strict=True)),
    GRID: "#2c333b",
    INK: "#e6edf3",
    SOFT: "#9aa4ae",
}
#: Shapes tell statuses apart without colour.
STATUS_SHAPES = {
    "succeeded": "circle",
    "rolled_back": "square",
    "rejected": "diamond",
    "pruned": "triangle-up",
    "failed": "cross",
    "abandoned": "triangle-down",
}
#: Size of a chart for those who do not say how wide it shall be.
WIDTH, HEIGHT = 720, 260
#: Widths that charts are drawn in for pages; between them, they are scaled.
WIDTHS = (340, 560, 800, 1080)
#: Below this width, legends and labels are shortened.
NARROW = 500
AUTOSIZE = {"type": "fit-x", "contains": "padding"}
#: Looks that all charts share, in Vega-Lite's words.
CONFIG: Mapping[str, Any] = {
    "background": "transparent",
    "font": "Arial, Helvetica, sans-serif",
    "padding": {"left": 4, "right": 8, "top": 4, "bottom": 2},
    "view": {"stroke": None},
    "range": {"category": PALETTE},
    "axis": {
        "domainColor": SOFT,
        "gridColor": GRID,
        "labelColor": SOFT,
        "labelFontSize": 12,
        "labelLimit": 190,
        "tickColor": GRID,
        "titleColor": SOFT,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    },
    # a label each 80 pixels at most: measuring texts is most of what drawing a chart takes
    "axisX": {
        "grid": False,
        "labelFlush": True,
        "labelOverlap": "greedy",
        "labelSeparation": 8,
        "tickCount": {"expr": "ceil(width / 80)"},
    },
    "axisY": {"domain": False, "ticks": False, "tickCount": 6},
    "legend": {
        "labelColor": SOFT,
        "columnPadding": 16,
        "labelFontSize": 12,
        "orient": "top",
        "symbolSize": 90,
        "symbolStrokeWidth": 2,
        "title": None,
    },
    "line": {"strokeWidth": 2.5},
    "point": {"size": 55},
}
#: A status in words.
WORDS = "replace(datum.label, '_', ' ')"
#: How a point in time is written below an axis: as a day at midnight, with seconds where it has some.
TIMES = (
    "utchours(datum.value) + utcminutes(datum.value) + utcseconds(datum.value) == 0 "
    "? utcFormat(datum.value, '%-d %b') : utcseconds(datum.value) > 0 "
    "? utcFormat(datum.value, '%H:%M:%S') : utcFormat(datum.value, '%H:%M')"
)
