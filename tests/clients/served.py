"""A front with the product's own tables, made by its migrations, and rows in each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import free_ports
from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.sinks.migrations.migrate import migrate
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import Batch, Partition
from evometrics.sinks.worker.writer import TableWriter
from tests.support.sinks import WIRE, Sent, one_of_each, run_statements, sent, store

#: The agents of the rows; each has an event of every kind.
AGENTS = ["it's agent-1", "agent-2", "größe"]


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    """Run a front, and yield its URL: database `evometrics` is the product's, `clients` is empty."""
    (port,) = free_ports(1)
    child = ChildProcess(clickhouse_process(folder / "clickhouse", port, folder / "clickhouse.log"))
    await child.start()
    try:
        url = f"http://127.0.0.1:{port}"
        settings = ClickHouseSettings(url=url)
        await migrate(settings)
        await run_statements(settings, ["CREATE DATABASE clients"])
        await fill(settings)
        yield url
    finally:
        await child.stop()


async def fill(settings: ClickHouseSettings) -> None:
    """Store an event of every kind for every agent, as the sink does."""
    messages: dict[Partition, list[Sent]] = defaultdict(list)
    for agent in AGENTS:
        for event in one_of_each(agent):
            message = sent(event, offset=len(messages))
            messages[Partition(message.topic, 0)].append(message)
    batch = Batch()
    batch.add(messages, WIRE)
    writer = TableWriter(settings, Instruments(CollectorRegistry(), OF_SINK))
    try:
        for group in batch.groups.values():
            assert not await store(writer, group)
    finally:
        await writer.close()
