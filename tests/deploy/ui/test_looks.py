"""Colours of charts: they stand out from light and dark pages, and everybody can tell statuses apart."""

from __future__ import annotations

import itertools
import re
from importlib import resources

import numpy as np
import pytest
from numpy.typing import NDArray

from evometrics.deploy.ui.charts import width_near
from evometrics.deploy.ui.looks import DARK, PALETTE, SHARES, STATUS_COLOURS, STATUS_SHAPES, WIDTHS

Colour = NDArray[np.float64]
CSS = (resources.files("evometrics.deploy.ui") / "static" / "page.css").read_text(encoding="utf-8")
LIGHT_SHEET, DARK_SHEET = "#ffffff", "#12161c"
#: What colours become for people without one of the eye's receptors: Machado, Oliveira and Fernandes (2009).
SEEN = {
    "all": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}
#: From linear RGB to OKLab (Ottosson, 2020).
TO_LMS = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
TO_LAB = [
    [0.2104542553, 0.793617785, -0.0040720468],
    [1.9779984951, -2.428592205, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.808675766],
]


def linear(colour: str) -> Colour:
    """Return a colour as linear RGB."""
    parts = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours (WCAG 2.2)."""
    low, high = sorted(float(linear(each) @ [0.2126, 0.7152, 0.0722]) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(colour: str, seen: Colour) -> Colour:
    """Return what is seen of a colour, in OKLab."""
    return np.array(TO_LAB) @ np.cbrt(np.array(TO_LMS) @ np.clip(seen @ linear(colour), 0, 1))


@pytest.mark.parametrize("by", SEEN)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_statuses_are_told_apart_whatever_the_eyes(by: str, dark: bool) -> None:
    seen = np.array(SEEN[by])
    colours = [lab(DARK[each] if dark else each, seen) for each in STATUS_COLOURS.values()]
    nearest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(colours, 2))
    assert nearest > 0.08
    assert len(set(STATUS_SHAPES.values())) == len(STATUS_COLOURS) == len(STATUS_SHAPES)


@pytest.mark.parametrize("colour", sorted({*STATUS_COLOURS.values(), *PALETTE}))
def test_marks_stand_out_from_the_page(colour: str) -> None:
    assert contrast(colour, LIGHT_SHEET) >= 3
    assert contrast(DARK[colour], DARK_SHEET) >= 3


def test_more_is_further_from_the_page_in_shades_of_shares() -> None:
    for sheet, shades in ((LIGHT_SHEET, SHARES), (DARK_SHEET, [DARK[each] for each in SHARES])):
        steps = [contrast(each, sheet) for each in shades]
        assert steps == sorted(steps)


def test_the_style_sheet_exchanges_every_colour_in_the_dark() -> None:
    rules = re.findall(r'\.chart \[(fill|stroke)="(#\w+)"\] \{ (fill|stroke): (#\w+); \}', CSS)
    assert sorted(rules) == sorted((kind, a, kind, b) for a, b in DARK.items() for kind in ("fill", "stroke"))
    assert f"--sheet: {DARK_SHEET}" in CSS


@pytest.mark.parametrize(
    ("room", "width"), [(1, 340), (350, 340), (700, 800), (1100, 1080), (5000, 1080), (0, 340)]
)
def test_a_chart_is_drawn_about_as_wide_as_there_is_room(room: int, width: int) -> None:
    assert width_near(room) == width
    assert width in WIDTHS
