"""Mends how aiokafka finds its cluster; import it wherever clients are opened.

A broker that has just started answers before it knows its cluster, with no brokers. aiokafka (0.14) takes
that for success and keeps the connection to ask again; should that connection end, it knows nobody to ask
and never finds a broker again ("Unable to update metadata from []"). Here such an answer counts as none:
`start()` raises `KafkaConnectionError`, and whoever opened the client tries again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError


def checked(bootstrap: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """Return a `bootstrap` that succeeds only once a broker is known."""

    async def bootstrap_checked(self: Any) -> None:
        await bootstrap(self)
        if not self.cluster.brokers():
            await self.close()
            raise KafkaConnectionError(f"{self.hosts} knows no broker yet")

    return bootstrap_checked


AIOKafkaClient.bootstrap = checked(AIOKafkaClient.bootstrap)
