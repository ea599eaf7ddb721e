"""Open pages: charts that are drawn every few seconds, and told of when they are due."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from evometrics.deploy.ui import live
from evometrics.deploy.ui.database import Database
from evometrics.deploy.ui.live import Live, Pictures
from evometrics.deploy.ui.page import Rows, Section
from evometrics.deploy.ui.rendering import Picture
from evometrics.deploy.ui.shared import Shared

SECTION = Section("scores", "Scores", "SELECT 1")
PAGE, OTHER = "/tonight?hours=24&width=900", "/tonight?hours=24&width=420"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have charts drawn as the number of their rows; return those numbers."""
    times: list[int] = []

    async def draw(section: Section, rows: Rows, width: int) -> Picture:
        times.append(len(rows))
        return f"{len(rows)} marks", section.title

    monkeypatch.setattr(live, "drawn", draw)
    return times


class Counting(Database):
    """Says how many rows there are."""

    def __init__(self) -> None:
        self.answers = Shared(10)
        self.number = 5

    async def fetch(self, sql: str, values: Mapping[str, Any]) -> Rows:
        return [{"rows": self.number}]


def rows(number: int) -> Rows:
    return [{"score": each} for each in range(number)]


async def test_a_chart_is_drawn_again_for_other_rows_after_a_while_and_for_the_same_ones_never(
    drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = Pictures()
    draw = pictures.of(PAGE)
    assert await draw(SECTION, rows(2), 900) == ("2 marks", "Scores")
    assert await draw(SECTION, rows(2), 900) == ("2 marks", "Scores")
    assert not pictures.owed and pictures.owed_at is None
    assert await draw(SECTION, rows(3), 900) == ("2 marks", "Scores")
    assert pictures.owed_at is not None and not pictures.owed
    assert await pictures.of(OTHER)(SECTION, rows(3), 420) == ("3 marks", "Scores")  # of another page
    monkeypatch.setattr(live, "PICTURE_SECONDS", 0.0)
    assert await draw(SECTION, rows(2), 900) == ("2 marks", "Scores")
    assert await draw(SECTION, rows(4), 900) == ("4 marks", "Scores")
    assert drawn == [2, 3, 4]


async def test_charts_are_kept_within_a_bound(drawn: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_PICTURES", 3)
    pictures = Pictures()
    for number in range(10):
        await pictures.of(f"/run?run={number}")(SECTION, rows(1), 900)
    assert [page for page, _ in pictures.known] == ["/run?run=7", "/run?run=8", "/run?run=9"]


async def test_readers_are_told_of_a_chart_that_is_due_though_nothing_is_new(
    drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PICTURE_SECONDS", 0.3)
    monkeypatch.setattr(live, "PERIOD", 0.02)
    database = Counting()
    own = Live(database)
    shown: list[str] = []

    async def page() -> None:
        async def make(draw: live.Drawing) -> str:
            return (await draw(SECTION, rows(database.number), 900))[0]

        shown.append(await own.sections(PAGE, make))

    news: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
    own.listeners.add(news)
    await page()
    own.task = asyncio.create_task(own.watch())
    await asyncio.sleep(0.1)
    database.number = 6
    for _ in range(2):  # of the row, and of the chart
        await asyncio.wait_for(news.get(), 10)
        await page()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(news.get(), 0.5)
    assert shown == ["5 marks", "5 marks", "6 marks"]
    await own.stop()
