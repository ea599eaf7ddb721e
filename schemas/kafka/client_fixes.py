"""Works around how aiokafka finds its cluster and asks about topics; import it wherever clients are opened.

A broker that has just started answers, with no brokers, before it knows its cluster. aiokafka (0.14) takes
that for success and keeps the connection to ask again; if that connection ends, it has no address left to ask
and never finds a broker again ("Unable to update metadata from []"). Here such an answer is a failure:
`start()` raises `KafkaConnectionError`, and whoever opened the client tries again.

A broker with `auto.create.topics.enable`, Kafka's default, creates whatever topic a client asks about, unless
the request forbids it, for which aiokafka has no option: the topic then has one partition and none of our
settings. `never_create` makes the requests forbid it; other clients of the process, an application's own,
stay as they are.

A TLS connection that is closed while data arrives waits, under uvloop (0.23), for the other side to close it
too, 30 s (its `ssl_shutdown_timeout`, which aiokafka does not set; asyncio's own loop needs 0.02 s), and
whoever stops a client waits with it: a stream worker took 60 s to take over its partitions. Here a connection
that is not closed after `CLOSE_SECONDS` is dropped. Nothing is lost by that: what was sent was either
acknowledged by then, or is sent again.

A broker that refuses an OAUTHBEARER token says so in an answer without an error code, and the error follows
once the client has acknowledged that answer (RFC 7628, section 3.2.3). aiokafka (0.14) takes the answer for
success, logs "Authenticated", and its next request, for metadata, is answered with no brokers. Here the
refusal is acknowledged, and raised as one.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from aiokafka import client as client_module
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed
from aiokafka.protocol.metadata import MetadataRequest

#: What a client answers to the refusal of its token.
ACKNOWLEDGED = b"\x01"
#: Seconds that closing a TLS connection may take.
CLOSE_SECONDS = 0.5
#: Whether a metadata request sent now may create topics; None for aiokafka's own behaviour.
MAY_CREATE: ContextVar[bool | None] = ContextVar("may_create", default=None)


def checked(bootstrap: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """Return a `bootstrap` that succeeds only once a broker is known."""

    async def bootstrap_checked(self: Any) -> None:
        await bootstrap(self)
        if not self.cluster.brokers():
            await self.close()
            raise KafkaConnectionError(f"{self.hosts} knows no broker yet")

    return bootstrap_checked


def closed_soon(close: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `close` of connections that drops one whose other side does not close it too."""

    @functools.wraps(close)
    def closing(self: Any, *arguments: Any, **named: Any) -> Any:
        transport = None if self._writer is None else self._writer.transport
        closed = close(self, *arguments, **named)
        if transport is not None and self._ssl_context is not None:
            self._loop.call_later(CLOSE_SECONDS, transport.abort)
        return closed

    return closing


def acknowledging(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `step` of OAUTHBEARER that answers a refusal, so that the broker says the error."""

    @functools.wraps(step)
    async def stepping(self: Any, answer: bytes | None) -> tuple[bytes, bool] | None:
        if answer and self._token_sent:
            if getattr(self, "refused", False):
                raise SaslAuthenticationFailed(answer.decode(errors="replace"))
            self.refused = True
            return ACKNOWLEDGED, True
        found: tuple[bytes, bool] | None = await step(self, answer)
        return found

    return stepping


def metadata_request(topics: list[str] | None = None) -> MetadataRequest:
    """Return a metadata request according to `MAY_CREATE`."""
    return MetadataRequest(topics, MAY_CREATE.get())


def never_create(client: AIOKafkaClient | type[AIOKafkaClient]) -> None:
    """Have a client, or all clients of this process, ask about topics without creating them."""
    update = client._metadata_update
    if getattr(update, "creates_nothing", False):
        return

    @functools.wraps(update)
    async def without_creating(*arguments: Any) -> bool:
        token = MAY_CREATE.set(False)
        try:
            return bool(await update(*arguments))
        finally:
            MAY_CREATE.reset(token)

    without_creating.creates_nothing = True  # type: ignore[attr-defined]
    client._metadata_update = without_creating


AIOKafkaConnection.close = closed_soon(AIOKafkaConnection.close)
OAuthAuthenticator.step = acknowledging(OAuthAuthenticator.step)
AIOKafkaClient.bootstrap = checked(AIOKafkaClient.bootstrap)
client_module.MetadataRequest = metadata_request
