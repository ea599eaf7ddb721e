"""What the sink reads of Kafka: batches of every codec, and a count of what Kafka has no more."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from prometheus_client import CollectorRegistry

from evometrics.schemas.metrics import OF_SINK, OFFSETS_GONE, Instruments
from evometrics.schemas.topics import SYSTEM_EVENTS
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import Batch, Partition
from evometrics.sinks.worker.progress import SinkProgress
from evometrics.sinks.worker.recovery import Recovery
from evometrics.sinks.worker.source import KafkaSource
from evometrics.sinks.worker.writer import TableWriter
from tests.support.sinks import WIRE, Kafka, one_of_each


async def test_offsets_that_are_gone_between_two_batches_are_counted(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    async def nobody() -> None: ...

    value = next(WIRE.encode(e) for e in one_of_each("agent-1") if e.record == "system_event")
    registry = CollectorRegistry()
    instruments = Instruments(registry, OF_SINK)
    source = KafkaSource(broker.settings, broker.sink, SinkProgress(), nobody, lambda _: None)
    writer = TableWriter(database, instruments)
    recovery = Recovery(source, source.progress, writer, WIRE, instruments)
    producer = AIOKafkaProducer(bootstrap_servers=broker.settings.brokers)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.settings.brokers)
    await producer.start()
    await admin.start()
    await source.start()
    try:
        partition = Partition(SYSTEM_EVENTS.name, 0)

        async def send(number: int) -> int:
            for _ in range(number):
                sent = await producer.send_and_wait(SYSTEM_EVENTS.name, value, key=b"agent-1", partition=0)
            return int(sent.offset)

        async def fetched() -> Batch:
            batch = Batch(1)
            while partition not in batch.ranges:
                batch.add(await source.poll(0.5, 100), WIRE)
            return batch

        while not source.progress.assigned:
            await source.poll(0.2, 1)
        await send(3)
        before = await fetched()
        while before.count < 3:
            before.add(await source.poll(0.2, 100), WIRE)
        assert [earlier async for earlier in recovery.prepare(before)] == []
        # as the cycle does after a commit
        source.progress.stored({partition: before.ranges[partition].last + 1})
        await source.poll(0.01, 0)  # paused, as while a batch is full
        await asyncio.sleep(1)  # until the fetch under way has ended
        last = await send(6)
        await admin.delete_records(
            {t: RecordsToDelete(before_offset=last) for t in source.consumer.assignment() if t == partition}
        )
        batch = await fetched()
        assert batch.ranges[partition].first == last
        assert [earlier async for earlier in recovery.prepare(batch)] == []
        assert registry.get_sample_value(OFFSETS_GONE.name, {"topic": partition.topic}) == 5
    finally:
        await source.close()
        await producer.stop()
        await admin.close()
        await writer.close()


async def test_batches_are_read_whatever_their_producer_compressed_them_with(broker: Kafka) -> None:
    async def nobody() -> None: ...

    codecs = (None, "gzip", "snappy", "lz4", "zstd")
    source = KafkaSource(broker.settings, broker.sink, SinkProgress(), nobody, lambda _: None)
    await source.start()
    try:
        while not source.progress.assigned:
            await source.poll(0.2, 1)
        for codec in codecs:
            producer = AIOKafkaProducer(bootstrap_servers=broker.settings.brokers, compression_type=codec)
            await producer.start()
            text = f"{codec} " * 1000  # long enough to be worth the codec
            await producer.send_and_wait(SYSTEM_EVENTS.name, text.encode(), key=b"agent-1")
            await producer.stop()
        found: list[bytes] = []
        while len(found) < len(codecs):
            fetched = await source.poll(0.5, 100)
            values = [record.value or b"" for records in fetched.values() for record in records]
            found += [value.split()[0] for value in values]
        assert found == [str(codec).encode() for codec in codecs]
    finally:
        await source.close()
