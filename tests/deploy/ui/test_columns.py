"""What columns are called on pages, and how their values are written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from evometrics.deploy.ui.columns import figures, heading, instant, of_table, written


@pytest.mark.parametrize(
    ("column", "value", "wanted"),
    [
        ("success_rate", 0.391813, "39.2 %"),
        ("success_rate", float("nan"), "nan"),
        ("cost_usd", 1234.5, "$1,234.50"),
        ("cost_usd", 0.0123456, "$0.0123"),
        ("cost_per_success", 0.0000123, "$1.2e-05"),
        ("cost", 0.0, "$0.00"),
        ("gain", 0.03, "+0.03"),
        ("mean_gain", -0.00242104, "-0.002421"),
        ("outbox_bytes", 1_231_000, "1.23 MB"),
        ("bytes", 90, "90 B"),
        ("minutes", 156.864, "2 h 36 min"),
        ("duration_seconds", 58.8909, "58.9 s"),
        ("seconds_ago", 624, "10 min 24 s"),
        ("duration_minutes", 4321.0, "3 d 0 h"),
        ("event_id", "01a2290e-da84-7d3f-a1ef-8ee1896fa601", "…6fa601"),
        ("status", "rolled_back", "rolled back"),
        ("last_at", datetime(2026, 11, 9, 6, 5, 4, tzinfo=UTC), "9 Nov 06:05:04"),
        ("strategies", ["mutate", "rewrite"], "mutate, rewrite"),
        ("generation", 1234, "1,234"),
    ],
)
def test_a_value_is_written_by_what_it_is(column: str, value: Any, wanted: str) -> None:
    assert written(column, value) == wanted


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        ("success_rate", "Success"),
        ("best_score", "Best score"),
        ("kpi", "KPI"),
        ("outbox_depth", "Outbox depth"),
    ],
)
def test_a_column_has_a_heading_in_words(column: str, wanted: str) -> None:
    assert heading(column) == wanted


def test_a_rate_is_one_figure_with_its_interval_and_what_is_unknown_has_none() -> None:
    row = {
        "attempts": 3,
        "succeeded": 1,
        "success_rate": 1 / 3,
        "low": 0.06,
        "high": 0.79,
        "cost": None,
        "run": "",
    }
    assert [(each.column, each.below[1:2]) for each in figures(row)] == [
        ("attempts", ("succeeded",)),
        ("success_rate", ("low",)),
    ]
    assert of_table(row) == ["attempts", "succeeded", "success_rate", "cost", "run"]


def test_a_rate_without_an_interval_stands_alone() -> None:
    row = {"attempts": 0, "succeeded": 0, "success_rate": 0.5, "low": None, "high": None}
    assert [(each.column, each.below != ()) for each in figures(row)] == [
        ("attempts", True),
        ("success_rate", False),
    ]


def test_a_time_has_its_zone() -> None:
    assert instant(datetime(2026, 11, 9, 6, 5, 4, tzinfo=UTC)) == "2026-11-09T06:05:04Z"
