"""Readiness and liveness checks of parts that serve HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import aiohttp

from evometrics.schemas.service.http import STOPPED

TIMEOUT = aiohttp.ClientTimeout(total=5)


@dataclass(frozen=True, slots=True)
class Liveness:
    """A part's own report on its liveness.

    Attributes:
        answered: whether it answered at all.
        wrong: why it is not live; None if it is or did not answer.
        stopped: why it is up without working; None while it works.
    """

    answered: bool
    wrong: str | None = None
    stopped: str | None = None


def answers(url: str) -> Callable[[], Awaitable[bool]]:
    """Return a check that `url` answers 200; False if nobody listens there or the answer is another one."""

    async def check() -> bool:
        try:
            async with aiohttp.ClientSession(timeout=TIMEOUT) as session, session.get(url) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    return check


def asking(url: str, token: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    """Return the request of a part of our own on this machine, whose certificate is for another name."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return aiohttp.request("GET", url, headers=headers, ssl=False, timeout=TIMEOUT)


def at_work(url: str, token: str = "") -> Callable[[], Awaitable[bool]]:
    """Return a check of a part's `/health/ready`; a part that has stopped on purpose counts as started."""

    async def check() -> bool:
        try:
            async with asking(url, token) as response:
                return response.status == 200 or (await response.text()).startswith(STOPPED)
        except (aiohttp.ClientError, TimeoutError):
            return False

    return check


def live_at(url: str, token: str = "") -> Callable[[], Awaitable[Liveness]]:
    """Return a check of a part's `/health/live`."""

    async def check() -> Liveness:
        try:
            async with asking(url, token) as response:
                said = (await response.text()).strip()
                if response.status == 200:
                    return Liveness(True, stopped=said if said.startswith(STOPPED) else None)
                return Liveness(True, said)
        except (aiohttp.ClientError, TimeoutError):
            return Liveness(False)

    return check
