"""Three Kafka nodes: what is acknowledged outlives any one of them; one alone acknowledges nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, KafkaTimeoutError

from tests.conftest import KafkaCluster
from tests.deploy.kafka.test_broker import read_all

PATIENCE_SECONDS = 90.0
NODES = {1, 2, 3}


async def create(brokers: str, name: str, *assigned: list[int]) -> None:
    """Create a topic with these nodes as the copies of its partitions, the leader first."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        assignments = dict(enumerate(assigned))
        await admin.create_topics([NewTopic(name, -1, -1, replica_assignments=assignments)])
    finally:
        await admin.close()


async def until_in_sync(brokers: str, topic: str, wanted: set[int]) -> None:
    """Wait until each partition's copies that are in sync are those of the nodes `wanted`."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
            try:
                await admin.start()
                (described,) = await admin.describe_topics([topic])
                if all(set(partition["isr"]) == wanted for partition in described["partitions"]):
                    return
            except KafkaError:
                pass  # It asked one that is away.
            finally:
                await admin.close()
            await asyncio.sleep(0.2)


@asynccontextmanager
async def producer_at(brokers: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers,
        enable_idempotence=True,
        acks="all",
        # A request that was under way when the copies became too few is answered at this limit only.
        request_timeout_ms=5000,
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


class Sending:
    """Sends numbered values to one partition, in order, until stopped."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, partition: int = 0) -> None:
        self.values: list[bytes] = []
        self.acknowledged = 0
        self._to = (producer, topic, partition)
        self._sent: list[asyncio.Future[object]] = []
        self._task = asyncio.create_task(self._send())

    async def _send(self) -> None:
        producer, topic, partition = self._to
        while True:
            value = f"{partition} {len(self.values)}".encode()
            self.values.append(value)
            try:
                future = await producer.send(topic, value, partition=partition)
            except KafkaTimeoutError:  # Not taken: what waits for the broker fills the producer's memory.
                del self.values[-1]
                continue
            future.add_done_callback(self._acknowledge)
            self._sent.append(future)
            await asyncio.sleep(0.005)

    def _acknowledge(self, future: asyncio.Future[object]) -> None:
        self.acknowledged += not future.cancelled() and future.exception() is None

    async def more(self, count: int = 100) -> None:
        """Wait until that many more are acknowledged than are sent by now."""
        wanted = len(self.values) + count
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.acknowledged < wanted:  # noqa: ASYNC110 - the producer announces single messages only
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Send no more; wait for all acknowledgements, raise where there was an error instead of one."""
        self._task.cancel()
        # Where it waited to hand one over, that one was not taken.
        with pytest.raises(asyncio.CancelledError):
            await self._task
        del self.values[len(self._sent) :]
        await asyncio.gather(*self._sent)


async def stopped(sendings: Sequence[Sending]) -> list[list[bytes]]:
    """Stop all; the values of each."""
    await asyncio.gather(*(sending.stop() for sending in sendings))
    return [sending.values for sending in sendings]


async def test_nothing_is_lost_or_doubled_while_a_broker_is_killed_and_comes_back(
    kafka_cluster: KafkaCluster,
) -> None:
    brokers, topic, victim = kafka_cluster.brokers, "cluster_one_away", kafka_cluster.children[2]
    await create(brokers, topic, [1, 2, 3], [2, 3, 1], [3, 1, 2])
    await until_in_sync(brokers, topic, NODES)
    async with producer_at(brokers) as producer:
        sendings = [Sending(producer, topic, partition) for partition in range(3)]
        await asyncio.gather(*(sending.more() for sending in sendings))
        victim.kill()
        # Of the partition that it led, too: another node leads it by then.
        await asyncio.gather(*(sending.more() for sending in sendings))
        await until_in_sync(brokers, topic, {1, 3})
        await victim.start()
        await until_in_sync(brokers, topic, NODES)
        await asyncio.gather(*(sending.more() for sending in sendings))
        sent = await stopped(sendings)
    assert [await read_all(brokers, topic, partition) for partition in range(3)] == sent


async def test_one_copy_alone_acknowledges_nothing_until_others_are_back(kafka_cluster: KafkaCluster) -> None:
    brokers, children = kafka_cluster.brokers, kafka_cluster.children
    await create(brokers, "cluster_of_three", [1, 2, 3])
    await create(brokers, "cluster_of_two", [1, 3])
    async with producer_at(brokers) as producer:
        three, two = Sending(producer, "cluster_of_three"), Sending(producer, "cluster_of_two")
        await asyncio.gather(three.more(), two.more())
        children[3].kill()
        await until_in_sync(brokers, "cluster_of_two", {1})
        await three.more()  # Two of its copies are in sync.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(two.more(1), timeout=2)  # One is.
        children[2].kill()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(three.more(1), timeout=3)
        await asyncio.gather(children[2].start(), children[3].start())
        await asyncio.gather(three.more(), two.more())
        sent = await stopped([three, two])
    assert [await read_all(brokers, topic) for topic in ("cluster_of_three", "cluster_of_two")] == sent
    await until_in_sync(brokers, "cluster_of_three", NODES)


async def test_a_group_and_an_idempotent_producer_outlive_their_coordinator(
    kafka_cluster: KafkaCluster,
) -> None:
    brokers, topic, group = kafka_cluster.brokers, "cluster_coordinated", "cluster_group"
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    coordinator = await coordinator_of(admin, group)
    await admin.close()
    # It leads the partition that the producer writes to, as well.
    await create(brokers, topic, [coordinator, *sorted(NODES - {coordinator})])
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=brokers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=15_000,
    )
    await consumer.start()
    received: list[bytes] = []
    committed = 0

    async def take(count: int) -> None:
        """Receive until the group has committed the offset `count`."""
        nonlocal committed
        async with asyncio.timeout(PATIENCE_SECONDS):
            while committed < count:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    received.extend(record.value for record in records)
                try:
                    await consumer.commit()
                    committed = len(received)
                except KafkaError:
                    await asyncio.sleep(
                        0.1
                    )  # Its coordinator is away: the next commit holds this one's offset.

    try:
        async with producer_at(brokers) as producer:
            sending = Sending(producer, topic)
            await take(100)
            kafka_cluster.children[coordinator].kill()
            await sending.more()
            await take(len(sending.values))
            await kafka_cluster.children[coordinator].start()
            await sending.more()
            (sent,) = await stopped([sending])
            await take(len(sent))
    finally:
        await consumer.stop()
    # The group's member neither lost its place nor took anything again.
    assert received == sent == await read_all(brokers, topic)
    await until_in_sync(brokers, topic, NODES)


async def coordinator_of(admin: AIOKafkaAdminClient, group: str) -> int:
    """The node that coordinates a group, once the topic of the groups' offsets is there."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await admin.find_coordinator(group)
            except KafkaError:
                await asyncio.sleep(0.2)
