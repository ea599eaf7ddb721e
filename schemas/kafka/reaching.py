"""Why a cluster can't be used: no broker answers, or one does and names addresses that can't be reached.

A client asks the brokers it is told of (`brokers`) where the cluster's nodes are, and uses these addresses
from then on: those of the nodes' `advertised.listeners`. Where these are wrong, such as the name of a
container or of a host that the client's network does not know, a broker is there, and nothing works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.structs import BrokerMetadata

import evometrics.schemas.kafka.client_fixes  # noqa: F401 - mends how a client finds its cluster

CONNECT_SECONDS = 3.0
ANSWER_MS = 5000


async def known_nodes(address: str) -> list[BrokerMetadata]:
    """Return the nodes in service as the broker at `host:port` knows them; none while it does not answer.

    What it advertises is not followed.
    """
    try:
        # The Kafka client logs an error for each attempt at a port where nobody listens yet.
        await connect(*split(address))
        client = AIOKafkaClient(bootstrap_servers=address, request_timeout_ms=ANSWER_MS)
        try:
            await client.bootstrap()
            return list(client.cluster.brokers())
        finally:
            await client.close()
    except (OSError, KafkaError, TimeoutError):
        return []


async def misdirected(brokers: str) -> str | None:
    """Return which advertised addresses can't be reached though a broker answers; None where that is not so.

    `brokers`: `host:port`, several separated by commas.
    """
    for address in (each.strip() for each in brokers.split(",")):
        nodes = await known_nodes(address)
        if nodes:
            problems = await asyncio.gather(*(unreachable(node) for node in nodes))
            return in_words(address, filter(None, problems))
    return None


async def why_unavailable(brokers: str) -> str:
    """Return why the cluster at these addresses can't be used, and the way out."""
    return await misdirected(brokers) or (
        f"no Kafka broker answers at {brokers}: start it (`evometrics up`) or correct the address"
    )


async def unreachable(node: BrokerMetadata) -> str | None:
    """Return at which address a node can't be reached, and why; None where it can."""
    try:
        await connect(node.host, node.port)
    except (OSError, TimeoutError) as error:
        return f"{node.host}:{node.port} for node {node.nodeId} ({error or type(error).__name__})"
    return None


def in_words(answered: str, problems: Iterable[str]) -> str | None:
    """Return what is wrong; None without problems."""
    listed = ", ".join(problems)
    if not listed:
        return None
    return (
        f"the Kafka broker at {answered} answers, but it advertises {listed}, which can't be reached from "
        "here. If that node runs, set its advertised.listeners to an address that its clients reach"
    )


async def connect(host: str, port: int) -> None:
    """Open a connection and close it again. Raises OSError or TimeoutError."""
    _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_SECONDS)
    writer.close()


def split(address: str) -> tuple[str, int]:
    """Return host and port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
