"""Why a cluster can't be used: no broker answers, or one does but advertises unreachable addresses.

A client asks the configured brokers (`brokers`) for the addresses of the cluster's nodes and uses only these
from then on: the nodes' `advertised.listeners`. Where they are wrong, such as the name of a container or of a
host that the client's network does not know, a broker answers and nothing works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.structs import BrokerMetadata

import evometrics.schemas.kafka.client_fixes  # noqa: F401 - works around how a client finds its cluster

CONNECT_SECONDS = 3.0
ANSWER_MS = 5000


async def known_nodes(address: str) -> list[BrokerMetadata]:
    """Return the nodes in service as the broker at `host:port` knows them; none while it does not answer.

    The addresses that it advertises are not connected to.
    """
    try:
        # The Kafka client logs an error for each attempt at a port where nothing listens yet.
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
    """Return which advertised addresses are unreachable although a broker answers; None where there are none.

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
    """Return the address at which a node is unreachable, and why; None where it is reachable."""
    try:
        await connect(node.host, node.port)
    except (OSError, TimeoutError) as error:
        return f"{node.host}:{node.port} for node {node.nodeId} ({error or type(error).__name__})"
    return None


def in_words(answered: str, problems: Iterable[str]) -> str | None:
    """Return a description of the problems; None where there are none."""
    listed = ", ".join(problems)
    if not listed:
        return None
    return (
        f"the Kafka broker at {answered} answers, but it advertises {listed}, unreachable from here. If that "
        "node is running, set its advertised.listeners to an address that its clients can reach"
    )


async def connect(host: str, port: int) -> None:
    """Open a connection and close it again. Raises OSError or TimeoutError."""
    _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_SECONDS)
    writer.close()


def split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
