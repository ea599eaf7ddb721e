"""What a group has left to read: messages, not offsets that retention took or that hold none."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from prometheus_client import CollectorRegistry

from evometrics.schemas.kafka.lag import GroupLag
from evometrics.schemas.metrics import CONSUMER_LAG, OF_SINK, Instruments
from evometrics.schemas.service.settings import KafkaSettings


class Topic:
    """A topic of one partition, of this test's own, and the lag of a group on it."""

    def __init__(self, brokers: str) -> None:
        self.brokers = brokers
        self.name = f"t-{uuid.uuid4().hex[:8]}"
        self.place = TopicPartition(self.name, 0)
        self.instruments = Instruments(CollectorRegistry(), OF_SINK)
        self.lag = GroupLag(KafkaSettings(brokers=brokers), f"{self.name}-group", self.instruments)
        self.admin = AIOKafkaAdminClient(bootstrap_servers=brokers)

    async def send(self, number: int, transaction: str | None = None, *, abort: bool = False) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.brokers, transactional_id=transaction)
        await producer.start()
        if transaction:
            await producer.begin_transaction()
        for _ in range(number):
            await producer.send_and_wait(self.name, b"v")
        if transaction:
            await (producer.abort_transaction() if abort else producer.commit_transaction())
        await producer.stop()

    async def commit(self, offset: int) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.brokers, group_id=self.lag.group, enable_auto_commit=False
        )
        await consumer.start()
        consumer.assign([self.place])
        await consumer.commit({self.place: offset})
        await consumer.stop()

    def shown(self) -> dict[tuple[str, str], float]:
        """What the metrics say, by topic and partition."""
        (family,) = self.instruments.gauge(CONSUMER_LAG).collect()
        return {(s.labels["topic"], s.labels["partition"]): s.value for s in family.samples}

    async def behind(self) -> list[int]:
        """How far the group is behind, by several looks one after the other."""
        found = [await self.lag.measure([self.place]) for _ in range(3)]
        return [each.behind for each in found if each is not None]


@pytest.fixture
async def topic(kafka: str) -> AsyncIterator[Topic]:
    made = Topic(kafka)
    await made.admin.start()
    await made.admin.create_topics([NewTopic(made.name, 1, 1)])
    yield made
    await made.admin.close()
    await made.lag.close()


async def test_the_lag_is_shown_by_partition_while_the_broker_says_it(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    await topic.send(3)
    other = topic.place._replace(topic=f"{topic.name}-other")
    await topic.admin.create_topics([NewTopic(other.topic, 1, 1)])
    await topic.lag.measure([topic.place, other])
    assert topic.shown() == {(topic.name, "0"): 3, (other.topic, "0"): 0}
    await topic.lag.measure([other])
    assert topic.shown() == {(other.topic, "0"): 0}, "a partition that another member has now"

    async def silent(partitions: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(topic.lag, "ask", silent)
    await topic.lag.measure([topic.place])
    assert topic.shown() == {}


async def test_what_retention_has_passed_is_no_work(topic: Topic) -> None:
    await topic.send(20)
    await topic.commit(5)
    assert await topic.behind() == [15] * 3
    await topic.admin.delete_records({topic.place: RecordsToDelete(before_offset=12)})
    assert await topic.behind() == [8] * 3
    await topic.admin.delete_records({topic.place: RecordsToDelete(before_offset=20)})
    assert await topic.behind() == [0] * 3


@pytest.mark.parametrize("abort", [False, True])
async def test_the_end_of_a_transaction_is_no_work_and_what_comes_after_it_is(
    topic: Topic, abort: bool
) -> None:
    await topic.send(3)
    await topic.send(2, f"{topic.name}-transaction", abort=abort)
    await topic.commit(3 if abort else 5)
    assert (await topic.behind())[-1] == 0
    await topic.send(1)
    assert (await topic.behind())[-1] > 0
