"""Why a cluster can't be used: no broker answers, it refuses us, or it advertises unreachable addresses.

A client asks the configured brokers (`brokers`) for the addresses of the cluster's nodes and uses only these
from then on: the nodes' `advertised.listeners`. Where they are wrong, such as the name of a container or of a
host that the client's network does not know, a broker answers and nothing works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import BrokerMetadata

import evometrics.schemas.kafka.client_fixes  # noqa: F401 - bounds how long a connection takes to close
from evometrics.schemas.kafka.client_options import security
from evometrics.schemas.kafka.refusals import why_closed, why_not_connected
from evometrics.schemas.service.settings import KafkaSettings

CONNECT_SECONDS = 3.0
ANSWER_MS = 5000


async def known_nodes(address: str, kafka: KafkaSettings | None = None) -> list[BrokerMetadata]:
    """Return the nodes in service as the broker at `host:port` knows them; none if it does not answer.

    The addresses that it advertises are not connected to. `kafka`: how to log in; None = in plaintext.
    """
    return (await asked(address, kafka or KafkaSettings(brokers=address)))[0]


async def asked(address: str, kafka: KafkaSettings) -> tuple[list[BrokerMetadata], str | None]:
    """Return the nodes that the broker at `host:port` knows; or none, and why it refuses us, if it does."""
    host, port = split(address)
    try:
        # The Kafka client logs an error for each attempt at a port where nothing listens yet.
        await connect(host, port)
    except (OSError, TimeoutError):
        return [], None
    try:
        connection = await create_conn(
            host, port, client_id=kafka.client_id, request_timeout_ms=ANSWER_MS, **security(kafka)
        )
    except (OSError, KafkaError, TimeoutError) as error:
        return [], await why_not_connected(error, host, port, kafka)
    try:
        answer = await connection.send(MetadataRequest([]))
    except KafkaConnectionError as error:
        return [], why_closed(error, address, kafka)
    except (OSError, KafkaError, TimeoutError):
        return [], None
    finally:
        connection.close()
    cluster = ClusterMetadata()
    cluster.update_metadata(answer)
    return list(cluster.brokers()), None


async def why_unusable(kafka: KafkaSettings) -> str | None:
    """Return why brokers that answer can't be used: they refuse us, or advertise unreachable addresses.

    None where the first that answers has nothing against it, or none does.
    """
    for address in kafka.addresses:
        nodes, refusal = await asked(address, kafka)
        if refusal is not None:
            return refusal
        if nodes:
            problems = await asyncio.gather(*(unreachable(node) for node in nodes))
            return in_words(address, filter(None, problems)) or await refused_by(nodes, kafka)
    return None


async def refused_by(nodes: Iterable[BrokerMetadata], kafka: KafkaSettings) -> str | None:
    """Return why one of the nodes refuses us at the address that it advertises; None if none does.

    Its certificate may be for another one.
    """
    if kafka.security_protocol == "PLAINTEXT":
        return None
    found = await asyncio.gather(*(asked(f"{node.host}:{node.port}", kafka) for node in nodes))
    return next((refusal for _, refusal in found if refusal is not None), None)


async def why_unavailable(kafka: KafkaSettings) -> str:
    """Return why the cluster can't be used, and the way out."""
    return await why_unusable(kafka) or (
        f"no Kafka broker answers at {kafka.brokers}: start it (`evometrics up`) or correct the address"
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
