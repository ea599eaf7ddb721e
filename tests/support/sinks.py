"""What the sink's tests share: an event of every record, a group that starts at the end, a running sink."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from evometrics.schemas.events import (
    CustomMetric,
    DeadLetter,
    Event,
    EvolutionCompleted,
    EvolutionMetrics,
    EvolutionProgressed,
    EvolutionStarted,
    KpiDelta,
    KpiSnapshot,
    SuccessRate,
    SystemEvent,
    now_micros,
)
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import BY_RECORD, TOPICS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.sinks.worker.batch import InsertGroup, Rejected
from evometrics.sinks.worker.worker import SinkWorker
from evometrics.sinks.worker.writer import BadData, TableWriter

WIRE = WireFormat()


@dataclass
class Sent:
    """A Kafka record as the sink reads it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def common(agent: str) -> dict[str, Any]:
    """Return the fields that every event starts with."""
    return {"event_id": new_event_id(), "agent_id": agent, "node_id": "node-1", "occurred_at": now_micros()}


def evolution(agent: str, **fields: Any) -> EvolutionMetrics:
    """Return a derived event with something in every field, except `fields`."""
    values: dict[str, Any] = {
        **common(agent),
        "source_event_id": new_event_id(),
        "evolution_id": f"{agent}-1",
        "started_at": now_micros() - 5_000_000,
        "evolution_type": "nightly",
        "generation": 3,
        "strategy_used": "tune",
        "risk_level": "low",
        "target_gain": 0.05,
        "trigger_reason": 'it\'s "due"\n\t\\',
        "status": "succeeded",
        "success": True,
        "duration_minutes": 2.5,
        "performance_score": 0.75,
        "baseline_performance": 0.5,
        "improvement_delta": 0.25,
        "relative_improvement": 0.5,
        "quality_score": None,
        "efficiency": 0.125,
        "kpi_deltas": {"accuracy": -0.5, "größe": 1e300},
        "memory_used_mb": 512.0,
        "cpu_percent_avg": 80.5,
        "gpu_memory_mb": None,
        "network_bytes_transferred": 2**40,
        "error_count": 1,
        "warning_count": 2,
        "rollback_performed": False,
        "convergence_iterations": 7,
        "fitness_trajectory": [0.1, 0.2, -3.5e-9],
        "metadata": {"note": "ü", "": "empty name"},
    }
    return EvolutionMetrics(**{**values, **fields})


def one_of_each(agent: str) -> list[Event]:
    """Return an event of every record."""
    now = now_micros()
    return [
        EvolutionStarted(**common(agent), evolution_id="e1", pre_kpis={"a": 1.5}, metadata={"k": "v"}),
        EvolutionProgressed(**common(agent), evolution_id="e1", iteration=4, fitness=0.5, memory_mb=12.0),
        EvolutionCompleted(
            **common(agent),
            evolution_id="e1",
            started_at=now - 1,
            target_gain=0.5,
            post_kpis={"accuracy": 0.25},
            insights=["error: none", ""],
            fitness_trajectory=[1.0, 2.0],
            status="succeeded",
            success=True,
        ),
        KpiSnapshot(**common(agent), accuracy=0.5, evaluation_count=12, extra={"own": 2.0}),
        SystemEvent(**common(agent), event_type="collector_health", data='{"outbox_depth": 17}'),
        CustomMetric(
            **common(agent), name="loss", kind="gauge", value=0.5, labels={"split": "ü"}, unit="nats"
        ),
        evolution(agent),
        KpiDelta(
            **common(agent),
            snapshot_event_id=new_event_id(),
            phase="continuous",
            previous_event_id=new_event_id(),
            previous_at=now - 7,
            overall_performance=0.5,
            overall_delta=None,
            deltas={"accuracy": 0.1},
            recommendation="retain",
            version=now - 7,
        ),
        SuccessRate(
            **common(agent),
            scope="agent",
            scope_value=agent,
            window_seconds=3600,
            window_start=now - 3_600_000_000,
            window_end=now,
            attempts=4,
            successes=3,
            success_rate=0.75,
            wilson_low=0.3,
            wilson_high=0.95,
            version=4,
        ),
        DeadLetter(
            **common(agent),
            source_topic="somewhere",
            source_partition=2,
            source_offset=99,
            stage="stream",
            reason="bad",
            message_key=None,
            message_value=bytes(range(256)),
        ),
    ]


def sent(event: Event, partition: int = 0, offset: int = 0, timestamp: int = 1_900_000_000_123) -> Sent:
    """Return an event as a Kafka record."""
    topic = BY_RECORD[event.record].name
    return Sent(topic, partition, offset, timestamp, event.key.encode(), WIRE.encode(event))


class Kafka:
    """The shared broker, seen from one test: a consumer group of its own that starts at the end."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self.sink = SinkSettings(group=f"sink-{uuid.uuid4().hex[:8]}", batch_seconds=0.05)

    async def start_group_at_end(self) -> None:
        """Commit the end of every topic, so that the sink reads only what the test sends."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.brokers, group_id=self.sink.group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(t.name, p) for t in TOPICS for p in range(self.settings.partitions)]
            consumer.assign(partitions)
            await consumer.commit(await consumer.end_offsets(partitions))
        finally:
            await consumer.stop()

    async def send(self, messages: Sequence[Event | tuple[str, bytes | None]]) -> list[tuple[str, int, int]]:
        """Produce events, or (topic, value) as it stands; return (topic, partition, offset) of each."""
        producer = AIOKafkaProducer(bootstrap_servers=self.settings.brokers, linger_ms=5)
        await producer.start()
        try:
            waiting = []
            for message in messages:
                if isinstance(message, Event):
                    topic, value, key = BY_RECORD[message.record].name, WIRE.encode(message), message.key
                else:
                    (topic, value), key = message, "bad"
                waiting.append(await producer.send(topic, value, key=key.encode()))
            return [(m.topic, m.partition, m.offset) for m in await asyncio.gather(*waiting)]
        finally:
            await producer.stop()


@contextlib.asynccontextmanager
async def running(kafka: Kafka, clickhouse: ClickHouseSettings) -> AsyncIterator[SinkWorker]:
    """A sink worker at work; stopped as an operator would stop it."""
    worker, stop = SinkWorker(kafka.settings, clickhouse, kafka.sink), asyncio.Event()
    task = asyncio.create_task(worker.run(stop))
    try:
        yield worker
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


async def eventually(
    holds: Callable[[], Awaitable[bool]], what: str | Callable[[], str], seconds: float = 60
) -> None:
    """Return when `holds` does; fail naming what was waited for."""
    deadline = time.monotonic() + seconds
    while not await holds():
        waited_for = what if isinstance(what, str) else what()
        assert time.monotonic() < deadline, f"waited {seconds} s for {waited_for}"
        await asyncio.sleep(0.05)


async def rows(clickhouse: ClickHouseSettings, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    client = await open_client(clickhouse)
    try:
        return [tuple(row) for row in (await client.query(sql)).result_rows]
    finally:
        await client.close()


async def structure(clickhouse: ClickHouseSettings) -> dict[str, str]:
    """Return what each table and view of a database is made of, by name; without the database's name."""
    default = dataclasses.replace(clickhouse, database="default")
    sql = f"SELECT name, create_table_query FROM system.tables WHERE database = '{clickhouse.database}'"
    return {name: query.replace(clickhouse.database, "d") for name, query in await rows(default, sql)}


async def run_statements(clickhouse: ClickHouseSettings, statements: Sequence[str]) -> None:
    """Run statements, whether the database is there or not."""
    client = await open_client(clickhouse, database="default")
    try:
        for statement in statements:
            await client.command(statement, settings={"mutations_sync": 1})
    finally:
        await client.close()


async def copy_database(source: ClickHouseSettings, target: ClickHouseSettings) -> None:
    """Make a database with the same tables and views, and the same migrations noted as applied."""
    sql = (
        f"SELECT create_table_query FROM system.tables WHERE database = '{source.database}' "
        "ORDER BY engine = 'View', metadata_modification_time"
    )
    made = await rows(dataclasses.replace(source, database="default"), sql)
    statements = [f"CREATE DATABASE {target.database}"]
    statements += [query.replace(source.database, target.database) for (query,) in made]
    noted = "schema_migrations"
    statements.append(f"INSERT INTO {target.database}.{noted} SELECT * FROM {source.database}.{noted} FINAL")
    await run_statements(target, statements)


async def until_stored(clickhouse: ClickHouseSettings, table: str, count: int) -> None:
    """Wait until a view shows `count` rows; fail naming how many it shows instead."""
    shown = 0
    client = await open_client(clickhouse)  # one for all questions: opening it costs ten of them

    async def enough() -> bool:
        nonlocal shown
        shown = (await client.query(f"SELECT count() FROM {table}")).result_rows[0][0]
        return shown >= count

    try:
        await eventually(enough, lambda: f"{count} rows in {table}, which has {shown}")
    finally:
        await client.close()


async def store(writer: TableWriter, group: InsertGroup) -> list[Rejected]:
    """Insert a group as the cycle does: as a whole, or the good ones of its rows; return the others."""

    async def next_token() -> str:
        return new_event_id()

    try:
        await writer.insert(group, group.rows, await next_token())
        return []
    except BadData as reason:
        return await writer.sift(group, reason, next_token)
