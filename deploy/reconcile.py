"""Does ClickHouse hold what was recorded? Counts per topic, from independent sources.

- recorded, raw topics: what the collectors say they took; of snapshots also those that the stream made of
  evolutions' KPIs, counted as those of derived topics.
- recorded, derived topics: distinct event ids on the topic, read by a plain Kafka client with fastavro.
- stored: what SQL counts in the names that analysts use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from evometrics.deploy.drain import end_offsets
from evometrics.schemas.events import Event, KpiSnapshot
from evometrics.schemas.topics import DERIVED_TOPICS, KPI_SNAPSHOTS, RAW_TOPICS, TOPICS
from evometrics.schemas.wire import WireFormat
from evometrics.sinks.client import open_client
from evometrics.sinks.settings import ClickHouseSettings

READ_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Mark:
    """How things stood before a run: end offsets, and rows per raw topic."""

    ends: Mapping[TopicPartition, int]
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Events per topic, on both sides."""

    recorded: dict[str, int]
    stored: dict[str, int]

    @property
    def equal(self) -> bool:
        """Whether nothing is missing and nothing is there twice."""
        return self.recorded == self.stored


async def mark(brokers: str, clickhouse: ClickHouseSettings) -> Mark:
    """Note how things stand."""
    ends = await end_offsets(brokers, [topic.name for topic in TOPICS])
    return Mark(ends, await counts(clickhouse))


async def counts(clickhouse: ClickHouseSettings) -> dict[str, int]:
    """Return the number of rows of each raw topic's table."""
    client = await open_client(clickhouse)
    try:
        found = {}
        for topic in RAW_TOPICS:
            result = await client.query(f"SELECT count() FROM {topic.table}")
            found[topic.name] = int(result.result_rows[0][0])
        return found
    finally:
        await client.close()


async def reconcile(
    before: Mark, recorded: list[Mapping[str, int]], brokers: str, clickhouse: ClickHouseSettings
) -> Reconciliation:
    """Compare what was recorded since `before` with what is stored; the pipeline must have drained."""
    sides = Reconciliation({}, {})
    now = await counts(clickhouse)
    for topic in RAW_TOPICS:
        sides.recorded[topic.name] = sum(one.get(topic.name, 0) for one in recorded)
        sides.stored[topic.name] = now[topic.name] - before.rows[topic.name]
    client = await open_client(clickhouse)
    try:
        snapshots = await events_since(brokers, KPI_SNAPSHOTS.name, before)
        made = {each.event_id for each in snapshots if isinstance(each, KpiSnapshot) and each.source_event_id}
        sides.recorded[KPI_SNAPSHOTS.name] += len(made)
        for topic in DERIVED_TOPICS:
            ids = {each.event_id for each in await events_since(brokers, topic.name, before)}
            sides.recorded[topic.name] = len(ids)
            result = await client.query(
                f"SELECT count() FROM {topic.table} WHERE event_id IN {{ids:Array(UUID)}}",
                parameters={"ids": sorted(ids)},
            )
            sides.stored[topic.name] = int(result.result_rows[0][0])
    finally:
        await client.close()
    return sides


async def events_since(brokers: str, topic: str, before: Mark) -> list[Event]:
    """Return the events that a topic has received since `before`."""
    wire = WireFormat()
    ends = await end_offsets(brokers, [topic])
    left = {tp: end for tp, end in ends.items() if end > before.ends.get(tp, 0)}
    events: list[Event] = []
    if not left:
        return events
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=None, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(list(left))
        for tp in left:
            consumer.seek(tp, before.ends.get(tp, 0))
        async with asyncio.timeout(READ_SECONDS):
            while left:
                for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                    events += [wire.decode(record.value) for record in records]
                    if tp in left and records[-1].offset + 1 >= left[tp]:
                        del left[tp]
    finally:
        await consumer.stop()
    return events
