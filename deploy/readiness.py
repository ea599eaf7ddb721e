"""Whether a part that serves HTTP does its work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp


def answers(url: str) -> Callable[[], Awaitable[bool]]:
    """A check that `url` answers 200; False while nobody listens there or the answer is another one."""

    async def check() -> bool:
        try:
            timeout = aiohttp.ClientTimeout(total=5)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    return check
