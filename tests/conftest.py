"""Real parts for the tests: a Kafka node, a cluster of three, a ClickHouse front; one each for all tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from evometrics.deploy.broker import KafkaNode, bootstrap, plan_nodes, prepare_node
from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.ports import free_ports
from evometrics.deploy.process import ChildProcess


@dataclass(frozen=True)
class KafkaCluster:
    """A running cluster: its bootstrap string, and the process of each node by the node's number, from 1."""

    brokers: str
    children: dict[int, ChildProcess]


async def start_node(node: KafkaNode, nodes: tuple[KafkaNode, ...], logs: Path) -> ChildProcess:
    child = ChildProcess(await prepare_node(node, nodes, logs, print))
    await child.start()
    return child


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a Kafka node. Shared by all tests: give topics and groups names of your own."""
    data = tmp_path_factory.mktemp("stack")
    nodes = plan_nodes(data / "kafka")
    child = asyncio.run(start_node(nodes[0], nodes, data / "logs"))
    yield bootstrap(nodes)
    asyncio.run(child.stop())


@pytest.fixture(scope="session")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three Kafka nodes as in production: three copies, of which two must have a write.

    Shared by all tests: give topics and groups names of your own. A test may kill nodes; nobody starts them
    again for it: leave the cluster with all three running and in sync.
    """
    data = tmp_path_factory.mktemp("cluster")
    nodes = plan_nodes(data / "kafka", 3)

    async def start() -> list[ChildProcess]:
        return await asyncio.gather(*(start_node(node, nodes, data / "logs") for node in nodes))

    async def stop() -> None:
        await asyncio.gather(*(child.stop() for child in children))

    children = asyncio.run(start())
    yield KafkaCluster(
        bootstrap(nodes), {node.number: child for node, child in zip(nodes, children, strict=True)}
    )
    asyncio.run(stop())


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a ClickHouse front. Shared by all tests: give databases names of your own."""
    data = tmp_path_factory.mktemp("stack")
    (port,) = free_ports(1)
    child = ChildProcess(clickhouse_process(data / "clickhouse", port, data / "logs" / "clickhouse.log"))
    asyncio.run(child.start())
    yield f"http://127.0.0.1:{port}"
    asyncio.run(child.stop())
