"""Reads a known range of one partition, independently of any consumer group."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.service.settings import KafkaSettings

FETCH_BYTES = 4 * 1024 * 1024
ANSWER_SECONDS = 30.0
POLL_MS = 1000
#: How long a broker waits for records where there are none, instead of half a second: until then it answers
#: nothing else that is asked on the connection, such as where a partition begins.
FETCH_WAIT_MS = 10
#: Offsets of a range that may be read at once, whatever their size; a longer one is read in pages.
SHORT_RANGE = 100


@contextlib.asynccontextmanager
async def range_reader(
    kafka: KafkaSettings, fetch_bytes: int = FETCH_BYTES
) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer without a group, which fetches at most this many bytes of a partition at a time.

    Raises `KafkaError` or `TimeoutError` where no broker answers.
    """
    consumer = AIOKafkaConsumer(
        **client_options(kafka),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=fetch_bytes,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def read_page(
    consumer: AIOKafkaConsumer, partition: TopicPartition, first: int, end: int
) -> tuple[list[ConsumerRecord], int]:
    """Return one fetch of records from `first` up to `end` (exclusive), and the offset to continue from.

    There are none only where the broker has none before `end`; the offset is then `end`.
    """
    consumer.assign([partition])
    last = min(end, (await consumer.end_offsets([partition]))[partition])
    consumer.seek(partition, first)
    while await consumer.position(partition) < last:
        for records in (await consumer.getmany(partition, timeout_ms=POLL_MS)).values():
            found = [record for record in records if first <= record.offset < last]
            if found:
                return found, min(await consumer.position(partition), end)
    return [], end


async def read_range(
    consumer: AIOKafkaConsumer, partition: TopicPartition, first: int, end: int
) -> list[ConsumerRecord]:
    """Return all records of a short range, from `first` up to but not including `end`."""
    found: list[ConsumerRecord] = []
    while first < end:
        page, first = await read_page(consumer, partition, first, end)
        found += page
    return found
