"""What values look like on a page and in a CSV file."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from evometrics.deploy.ui.cells import MOST_CHARACTERS, csv_text, shown, whole


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, "–"),
        (True, "yes"),
        (1_234_567, "1,234,567"),
        (0.1 + 0.2, "0.3"),
        (1e-9, "1e-09"),
        (12_345_678.9, "12,345,679"),
        (datetime(2026, 11, 29, 6, 5, 4, 321, tzinfo=UTC), "2026-11-29 06:05:04"),
        ("x" * 500, "x" * (MOST_CHARACTERS - 1) + "…"),
    ],
)
def test_a_cell_is_short(value: Any, wanted: str) -> None:
    assert shown(value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, ""),
        (0.1 + 0.2, "0.30000000000000004"),
        (datetime(2026, 11, 29, 6, 5, 4, 320_000, tzinfo=UTC), "2026-11-29 06:05:04.32"),
        (datetime(2026, 11, 29, 6, 5, 40, tzinfo=UTC), "2026-11-29 06:05:40"),
        (date(2026, 11, 9), "2026-11-09"),
        ({"ä": [1]}, '{"ä": [1]}'),
    ],
)
def test_a_value_has_all_its_digits(value: Any, wanted: str) -> None:
    assert whole(value) == wanted


def test_a_csv_is_exact_and_no_cell_of_it_is_a_formula() -> None:
    rows = [
        {"name": "=1+1", "score": -0.1 + -0.2, "note": 'a,b\n"c"'},
        {"name": "@x", "score": None, "note": "-"},
    ]
    assert csv_text(rows).splitlines() == [
        "name,score,note",
        "'=1+1,-0.30000000000000004,\"a,b",
        '""c"""',
        "'@x,,'-",
    ]
    assert csv_text([]) == ""
