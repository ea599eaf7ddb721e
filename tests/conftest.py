"""Real parts for the tests: a Kafka node and a ClickHouse front, one of each for the whole run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from evometrics.deploy.broker import bootstrap, plan_nodes, prepare_node
from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.ports import free_ports
from evometrics.deploy.process import ChildProcess


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a Kafka node. Shared by all tests: give topics and groups names of your own."""
    data = tmp_path_factory.mktemp("stack")
    nodes = plan_nodes(data / "kafka")

    async def start() -> ChildProcess:
        child = ChildProcess(await prepare_node(nodes[0], nodes, data / "logs", print))
        await child.start()
        return child

    child = asyncio.run(start())
    yield bootstrap(nodes)
    asyncio.run(child.stop())


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a ClickHouse front. Shared by all tests: give databases names of your own."""
    data = tmp_path_factory.mktemp("stack")
    (port,) = free_ports(1)
    child = ChildProcess(clickhouse_process(data / "clickhouse", port, data / "logs" / "clickhouse.log"))
    asyncio.run(child.start())
    yield f"http://127.0.0.1:{port}"
    asyncio.run(child.stop())
