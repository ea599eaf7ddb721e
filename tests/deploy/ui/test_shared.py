"""Answers that are shared: made once while they are fresh, anew after news and after an error."""

from __future__ import annotations

import asyncio

import pytest

from evometrics.deploy.ui.shared import Shared


class Made:
    """Counts what it makes."""

    def __init__(self) -> None:
        self.number = 0

    async def __call__(self) -> int:
        self.number += 1
        await asyncio.sleep(0)
        if self.number == 1:
            raise ValueError("the first")
        return self.number


async def test_those_who_ask_at_once_get_one_answer_and_an_error_is_not_kept() -> None:
    shared: Shared[int] = Shared(2)
    made = Made()
    with pytest.raises(ValueError, match="the first"):
        await shared.get("key", 60, made)
    assert await asyncio.gather(*(shared.get("key", 60, made) for _ in range(3))) == [2, 2, 2]


async def test_news_and_age_make_an_answer_anew() -> None:
    shared: Shared[int] = Shared(2)
    made = Made()
    made.number = 1
    assert await shared.get("key", 60, made) == 2
    shared.renew()
    assert await shared.get("key", 60, made) == 3
    assert await shared.get("key", 60, made) == 3
    assert await shared.get("key", -1, made) == 4


async def test_who_leaves_does_not_end_an_answer_for_others() -> None:
    shared: Shared[int] = Shared(2)
    made = Made()
    made.number = 1
    leaving = asyncio.create_task(shared.get("key", 60, made))
    staying = asyncio.create_task(shared.get("key", 60, made))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 2


async def test_the_oldest_answers_are_forgotten() -> None:
    shared: Shared[int] = Shared(2)
    made = Made()
    made.number = 1
    for key in "abc":
        await shared.get(key, 60, made)
    assert list(shared.answers) == ["b", "c"]
