"""A consumer group's lag, as the broker sees it: a worker's health is judged by it, and its metrics show it.

The same questions tell whether Kafka is reachable, and whether replicas are missing.

Fetches know the ends only of partitions that they read: a paused worker would show an old lag permanently.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.kafka.left_to_read import Span, holds_message, left_to_read
from evometrics.schemas.kafka.offsets import AIOKafkaAdminClient, next_offsets
from evometrics.schemas.kafka.reaching import why_unusable
from evometrics.schemas.kafka.replicas import replicas_missing
from evometrics.schemas.kafka.rights import right_missing
from evometrics.schemas.metrics import CONSUMER_LAG, REACHABLE, REPLICAS_MISSING, Instruments
from evometrics.schemas.service.settings import KafkaSettings

ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Lag:
    """A group's offsets and lag.

    Attributes:
        committed: the next offset by topic and partition; where none is committed, the first that exists.
        left: offsets left to read, by partition asked for; those that hold no message don't count.
    """

    committed: tuple[tuple[str, int, int], ...]
    left: Mapping[TopicPartition, int]

    @property
    def behind(self) -> int:
        """Offsets left to read, over all partitions."""
        return sum(self.left.values())


class GroupLag:
    """Asks the broker over separate connections, which are reopened after an error.

    Args:
        instruments: shows the last answer: the lag by partition (`CONSUMER_LAG`), missing replicas by
            topic (`REPLICAS_MISSING`), and whether there was one (`REACHABLE`).

    Attributes:
        away: why the broker did not answer the last question, None where it did.
        holds: what was left to read at the last check, and whether it has messages: None = not yet checked.
    """

    def __init__(self, kafka: KafkaSettings, group: str, instruments: Instruments) -> None:
        self.kafka = kafka
        self.group = group
        self.instruments = instruments
        self.shown: frozenset[TopicPartition] = frozenset()
        self.holds: dict[tuple[TopicPartition, Span], bool | None] = {}
        self.away: str | None = "Kafka has not been asked yet"
        self.admin: AIOKafkaAdminClient | None = None
        self.consumer: AIOKafkaConsumer | None = None

    async def close(self) -> None:
        admin, consumer, self.admin, self.consumer = self.admin, self.consumer, None, None
        for closing in (admin.close() if admin else None, consumer.stop() if consumer else None):
            if closing is not None:
                with contextlib.suppress(KafkaError, OSError, TimeoutError):
                    async with asyncio.timeout(ANSWER_SECONDS):
                        await closing

    async def measure(self, partitions: Iterable[tuple[str, int]]) -> Lag | None:
        """Return the group's lag on some partitions, None without an answer within `ANSWER_SECONDS`."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                lag = await self.ask([TopicPartition(*p) for p in partitions])
                assert self.admin is not None
                missing = await replicas_missing(self.admin, {tp.topic for tp in lag.left})
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            wrong = right_missing(error, self.kafka) or await why_unusable(self.kafka)
            self.away = wrong or f"Kafka at {self.kafka.brokers} does not answer ({error!r})"
            self.show({}, {})
            return None
        self.away = None
        self.show(lag.left, missing)
        return lag

    def show(self, left: Mapping[TopicPartition, int], missing: Mapping[str, int]) -> None:
        """Show these partitions' lag, and of no others: a value that is no longer known is not shown."""
        self.instruments.gauge(REACHABLE).labels("kafka").set(self.away is None)
        replicas = self.instruments.gauge(REPLICAS_MISSING)
        replicas.clear()
        for topic, number in missing.items():
            replicas.labels(topic).set(number)
        gauge = self.instruments.gauge(CONSUMER_LAG)
        for topic, number in self.shown - left.keys():
            gauge.remove(topic, str(number))
        for (topic, number), behind in left.items():
            gauge.labels(topic, str(number)).set(behind)
        self.shown = frozenset(left)

    async def ask(self, partitions: list[TopicPartition]) -> Lag:
        """Ask for the end offsets and the group's committed offsets."""
        if self.admin is None or self.consumer is None:
            self.consumer = AIOKafkaConsumer(**client_options(self.kafka), isolation_level="read_committed")
            self.admin = AIOKafkaAdminClient(**client_options(self.kafka))
            await self.consumer.start()
            await self.admin.start()
        committed = await next_offsets(self.admin, self.consumer, self.group, partitions)
        left = (await left_to_read(self.consumer, committed)).items()
        before, self.holds = self.holds, dict.fromkeys(left)
        for tp, span in left:
            # a span that changes is progress; one that stays is checked for messages, once
            if (tp, span) in before:
                known = before[tp, span]
                self.holds[tp, span] = (
                    await holds_message(self.consumer, tp, span) if known is None else known
                )
        left_of = dict.fromkeys(committed, 0)
        left_of |= {tp: span.end - span.first for tp, span in left if self.holds[tp, span] is not False}
        return Lag(tuple(sorted((*tp, offset) for tp, offset in committed.items())), left_of)
