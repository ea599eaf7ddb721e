"""The faults: each makes something go wrong on the stage, and undoes it; and which alerts have to fire."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.service.tasks import end_tasks
from evometrics.schemas.topics import EVOLUTION_STARTED, KPI_SNAPSHOTS, RAW_TOPICS, SYSTEM_EVENTS
from tests.alerts.node import evolve
from tests.alerts.stage import Stage
from tests.faults.parts import PARTITIONS
from tests.support.disks import mounted

Made = Callable[[Stage], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        what: in words.
        alerts: those that have to fire while it lasts.
        make: makes it on entering, and undoes it on leaving.
    """

    what: str
    alerts: frozenset[str]
    make: Made


FAULTS: list[Fault] = []


def fault(what: str, *alerts: str) -> Callable[[Callable[[Stage], AsyncIterator[None]]], Made]:
    def add(make: Callable[[Stage], AsyncIterator[None]]) -> Made:
        made = asynccontextmanager(make)
        FAULTS.append(Fault(what, frozenset(alerts), made))
        return made

    return add


@fault("30 evolutions fail", "EvolutionFailureRate")
async def failures(stage: Stage) -> AsyncIterator[None]:
    for number in range(40):
        await evolve(
            stage.node, "faulty", 0.0 if number % 4 else 0.1, status="failed" if number % 4 else None
        )
    yield


@fault("one evolution of 9 GB among many", "EvolutionResourceExhaustion")
async def memory(stage: Stage) -> AsyncIterator[None]:
    ended = {"agent_id": "agent-1", "evolution_id": "large", "evolution_type": "nightly", "success": True}
    await stage.node.record_evolution_start(ended)
    await stage.node.record_evolution_completion(ended | {"memory_used_mb": 9000.0})
    yield


@fault("bytes that are no event in two topics", "EvometricsDeadLetters")
async def poison(stage: Stage) -> AsyncIterator[None]:
    async with AIOKafkaProducer(**client_options(stage.parts.kafka)) as producer:
        for topic in (EVOLUTION_STARTED, KPI_SNAPSHOTS):
            await producer.send_and_wait(topic.name, b"no event", key=b"agent-1")
    yield


@fault("an event without an agent", "EvometricsEventsRejected")
async def rejected(stage: Stage) -> AsyncIterator[None]:
    await stage.node.record_evolution_start({})
    yield


@fault("a topic takes no message above 100 bytes", "EvometricsEventsRefused")
async def refused(stage: Stage) -> AsyncIterator[None]:
    async with admin(stage) as client:
        for limit in ("100", "2000000"):
            changed = {"max.message.bytes": limit}
            await client.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, SYSTEM_EVENTS.name, changed)]
            )
            if limit == "100":
                yield


@fault("a node is killed", "EvometricsNodeDown", "EvometricsNodeSilent")
async def node_killed(stage: Stage) -> AsyncIterator[None]:
    process = await stage.node_process("node-killed")
    await asyncio.sleep(8)  # it reports, and the sinks hear of it
    process.kill()
    await process.wait()
    yield
    stage.forget("node-killed")
    async with stage.another_node("node-killed"):  # starts and stops in good order
        await asyncio.sleep(4)


@fault(
    "ClickHouse is unreachable",
    "EvometricsDependencyUnreachable",
    "EvometricsPartNotReady",
    "EvometricsInsertRetries",
)
async def clickhouse_cut(stage: Stage) -> AsyncIterator[None]:
    async with stage.unreachable("clickhouse"):
        yield


@fault("ClickHouse answers, and holds inserts; a burst arrives", "EvometricsPartStuck", "EvometricsLagGrows")
async def inserts_held(stage: Stage) -> AsyncIterator[None]:
    proxy = stage.parts.proxies["clickhouse"]
    proxy.hold(b"INSERT")
    bursting = asyncio.create_task(burst(stage))
    try:
        yield
    finally:
        proxy.release()
        bursting.cancel()
        await asyncio.gather(bursting, return_exceptions=True)


async def burst(stage: Stage) -> None:
    """Record some hundred snapshots a second, for ever."""
    while True:
        for number in range(200):
            await stage.node.record_kpi_snapshot(f"agent-{number}", {"accuracy": 0.5})
        await asyncio.sleep(0.5)


@fault(
    "sinks stand still, and Kafka deletes what they have not read",
    "EvometricsPartDown",
    "EvometricsOffsetsGone",
)
async def deleted_unread(stage: Stage) -> AsyncIterator[None]:
    with stage.paused("sink-1", "sink-2"):
        for number in range(300):
            await stage.node.record_kpi_snapshot(f"agent-{number}", {"accuracy": 0.5})
        await stage.node.drain(30)
        async with admin(stage) as client:
            places = [TopicPartition(KPI_SNAPSHOTS.name, number) for number in range(PARTITIONS)]
            await client.delete_records({place: RecordsToDelete(before_offset=-1) for place in places})
        await asyncio.sleep(15)
    yield


@fault("a sink is ended again and again", "EvometricsPartRestarts", "EvometricsRebalances")
async def restarts(stage: Stage) -> AsyncIterator[None]:
    async def end_it() -> None:
        for _ in range(6):
            os.kill(stage.pid("sink-2"), signal.SIGTERM)
            await asyncio.sleep(12)

    ending = asyncio.create_task(end_it())
    try:
        yield
    finally:
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)


@fault("a broker of three stands still", "EvometricsReplicasMissing")
async def broker_lost(stage: Stage) -> AsyncIterator[None]:
    with stage.paused("kafka-3"):
        yield


@fault(
    "Kafka is unreachable for all; a node's outbox is small",
    "EvometricsDependencyUnreachable",
    "EvometricsNodeDisconnected",
    "EvometricsOutboxOld",
    "EvometricsPublishErrors",
    "EvometricsEventsShed",
)
async def kafka_cut(stage: Stage) -> AsyncIterator[None]:
    async with stage.another_node("node-small", outbox_max_mb=0.05) as small:
        await asyncio.sleep(6)
        async with stage.unreachable(*stage.brokers):
            for number in range(2000):
                await small.record_kpi_snapshot(f"agent-{number}", {"accuracy": 0.5})
            yield


@fault("topics take no event that is older than a millisecond", "EvometricsNodeStuck")
async def topics_closed(stage: Stage) -> AsyncIterator[None]:
    async with admin(stage) as client:
        for milliseconds in ("1", str(2**63 - 1)):
            changed = {"message.timestamp.before.max.ms": milliseconds}
            topics = [ConfigResource(ConfigResourceType.TOPIC, topic.name, changed) for topic in RAW_TOPICS]
            await client.alter_configs(topics)
            if milliseconds == "1":
                yield


@fault("Prometheus finds no stream worker", "EvometricsPartMissing")
async def target_gone(stage: Stage) -> AsyncIterator[None]:
    found = stage.prometheus.targets["evometrics-stream"]
    stage.prometheus.scrape("evometrics-stream")
    yield
    stage.prometheus.scrape("evometrics-stream", *found)


@fault("the disk of a node's outbox is full", "EvometricsDiskFull", "EvometricsEventsFailed")
async def disk_full(stage: Stage) -> AsyncIterator[None]:
    with mounted(stage.folder / "small", 100) as folder:
        async with stage.another_node("node-full", db_path=str(folder / "events.db")) as node:
            await asyncio.sleep(6)
            with (folder / "other").open("wb") as other:
                try:
                    while True:
                        other.write(bytes(1 << 20))
                        other.flush()
                except OSError:
                    pass
            for number in range(20):
                await node.record_kpi_snapshot(f"agent-{number}", {"accuracy": 0.5})
                await asyncio.sleep(0.2)
            yield
            (folder / "other").unlink()


@fault("the disk of a node's outbox takes a megabyte a second", "EvometricsDiskFillsUp")
async def disk_fills(stage: Stage) -> AsyncIterator[None]:
    with mounted(stage.folder / "filling", 100) as folder:
        async with stage.another_node("node-filling", db_path=str(folder / "events.db")):
            writing = asyncio.create_task(fill_slowly(folder / "other"))
            try:
                yield
            finally:
                await end_tasks([writing])


async def fill_slowly(path: Path) -> None:
    """Write a megabyte a second until the disk is full."""
    with path.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1_000_000))
            file.flush()
            await asyncio.sleep(1)


@fault("a minute of evolutions without improvement", "NoEvolutionProgress")
async def no_progress(stage: Stage) -> AsyncIterator[None]:
    stage.gain = 0.0
    yield
    stage.gain = 0.1


@fault("a minute without evolutions", "EvometricsNoEvolutions")
async def no_evolutions(stage: Stage) -> AsyncIterator[None]:
    stage.gain = None
    yield
    stage.gain = 0.1


@asynccontextmanager
async def admin(stage: Stage) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**client_options(stage.parts.kafka))
    await client.start()
    try:
        yield client
    finally:
        await client.close()
