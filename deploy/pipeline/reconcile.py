"""Does ClickHouse hold what was recorded? Counts per topic, from independent sources.

- recorded, raw topics: what the collectors report to have accepted; of snapshots also those that the stream
  made of evolutions' KPIs, counted as those of derived topics.
- recorded, derived topics: distinct event ids on the topic, read by a plain Kafka client with fastavro.
- stored: SQL counts over the names that analysts use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from evometrics.deploy.pipeline.drain import end_offsets
from evometrics.schemas.events import Event, KpiSnapshot
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import DERIVED_TOPICS, KPI_SNAPSHOTS, RAW_TOPICS, TOPICS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.clickhouse.client import open_client
from evometrics.sinks.settings import ClickHouseSettings

READ_SECONDS = 60.0
#: Ids per query to ClickHouse.
IDS_ASKED = 10_000


@dataclass(frozen=True, slots=True)
class Baseline:
    """The state before a run: end offsets, and rows per raw topic."""

    ends: Mapping[TopicPartition, int]
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Number of events per topic, recorded and stored."""

    recorded: dict[str, int]
    stored: dict[str, int]

    @property
    def equal(self) -> bool:
        """Whether nothing is missing and nothing is there twice."""
        return self.recorded == self.stored


async def mark(kafka: KafkaSettings, clickhouse: ClickHouseSettings) -> Baseline:
    """Take the baseline: end offsets and row counts as they are now."""
    ends = await end_offsets(kafka, [topic.name for topic in TOPICS])
    return Baseline(ends, await counts(clickhouse))


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
    before: Baseline, recorded: list[Mapping[str, int]], kafka: KafkaSettings, clickhouse: ClickHouseSettings
) -> Reconciliation:
    """Compare what was recorded since `before` with what is stored; the pipeline must have drained."""
    sides = Reconciliation({}, {})
    now = await counts(clickhouse)
    for topic in RAW_TOPICS:
        sides.recorded[topic.name] = sum(one.get(topic.name, 0) for one in recorded)
        sides.stored[topic.name] = now[topic.name] - before.rows[topic.name]
    client = await open_client(clickhouse)
    try:
        made = await ids_since(kafka, KPI_SNAPSHOTS.name, before, made_by_stream)
        sides.recorded[KPI_SNAPSHOTS.name] += len(made)
        for topic in DERIVED_TOPICS:
            ids = sorted(await ids_since(kafka, topic.name, before))
            sides.recorded[topic.name] = len(ids)
            sides.stored[topic.name] = 0
            for part in (ids[n : n + IDS_ASKED] for n in range(0, len(ids), IDS_ASKED)):
                result = await client.query(
                    f"SELECT count() FROM {topic.table} WHERE event_id IN {{ids:Array(UUID)}}",
                    parameters={"ids": part},
                )
                sides.stored[topic.name] += int(result.result_rows[0][0])
    finally:
        await client.close()
    return sides


def made_by_stream(event: Event) -> bool:
    """Return whether an event is a snapshot that the stream has made from another event."""
    return isinstance(event, KpiSnapshot) and event.source_event_id is not None


async def ids_since(
    kafka: KafkaSettings, topic: str, before: Baseline, meant: Callable[[Event], bool] = lambda event: True
) -> set[str]:
    """Return the ids of the selected events that a topic has received since `before`."""
    wire = WireFormat()
    ends = await end_offsets(kafka, [topic])
    left = {tp: end for tp, end in ends.items() if end > before.ends.get(tp, 0)}
    ids: set[str] = set()
    if not left:
        return ids
    consumer = AIOKafkaConsumer(**client_options(kafka), enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(list(left))
        for tp in left:
            consumer.seek(tp, before.ends.get(tp, 0))
        async with asyncio.timeout(READ_SECONDS):
            while left:
                for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                    events = (wire.decode(record.value) for record in records)
                    ids |= {event.event_id for event in events if meant(event)}
                    if tp in left and records[-1].offset + 1 >= left[tp]:
                        del left[tp]
    finally:
        await consumer.stop()
    return ids
