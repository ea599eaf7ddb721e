"""Answers that serve all who ask the same: made once, until they are old or there is news."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Makes answers, and keeps the latest of them.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.answers: OrderedDict[Hashable, tuple[float, asyncio.Task[T]]] = OrderedDict()
        self.news_at = 0.0

    def renew(self) -> None:
        """Have everything asked for from now on made anew: there is news."""
        self.news_at = time.monotonic()

    async def get(self, key: Hashable, fresh_seconds: float, make: Callable[[], Awaitable[T]]) -> T:
        """Return what `make` returns, or has returned within those seconds, and since there was news.

        Goes on for others where the caller is cancelled. Raises what `make` raises.
        """
        known = self.answers.get(key)
        if known is None or known[0] < max(self.news_at, time.monotonic() - fresh_seconds):
            task: asyncio.Task[T] = asyncio.ensure_future(self.made(make))
            known = self.answers[key] = time.monotonic(), task
            self.answers.move_to_end(key)
            while len(self.answers) > self.most:
                self.answers.popitem(last=False)
        try:
            return await asyncio.shield(known[1])
        except Exception:
            if self.answers.get(key) is known:
                del self.answers[key]
            raise

    async def made(self, make: Callable[[], Awaitable[T]]) -> T:
        return await make()
