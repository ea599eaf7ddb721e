"""Sends messages that can't be read or stored to the dead letters topic, with bytes and reason."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

import evometrics.schemas.bootstrap  # noqa: F401 - mends how a client finds its cluster
from evometrics.schemas.events import DeadLetter
from evometrics.schemas.ids import derived_id
from evometrics.schemas.metric_defs import DEAD_LETTERS_TOTAL, Instruments
from evometrics.schemas.settings import KafkaSettings
from evometrics.schemas.topics import DEAD_LETTERS
from evometrics.schemas.wire import WireFormat
from evometrics.sinks.backoff import backoff
from evometrics.sinks.batch import Rejected
from evometrics.sinks.letters import CUT, CUT_NOTE

log = logging.getLogger(__name__)

STAGE = "sink"
REASON_CHARACTERS = 1000
#: A dead letter is larger than the message in it. Where the topic refuses one, the value is cut to this.
CUT_BYTES = 900_000
REQUEST_BYTES = 16_000_000


def dead_letter(rejected: Rejected, node_id: str) -> DeadLetter:
    """Build the event for a message that could not be read or stored."""
    message = rejected.message
    key = message.key or b""
    return DeadLetter(
        event_id=derived_id(message.topic, message.partition, message.offset, STAGE),
        agent_id=key.decode("utf-8", "ignore") if key.isascii() else "",
        node_id=node_id,
        occurred_at=max(message.timestamp, 0) * 1000,
        source_topic=message.topic,
        source_partition=message.partition,
        source_offset=message.offset,
        stage=STAGE,
        reason=rejected.reason[:REASON_CHARACTERS],
        message_key=message.key,
        message_value=message.value,
    )


class DeadLetters:
    """The sink's producer of dead letters; starts when the first one comes."""

    def __init__(
        self, kafka: KafkaSettings, wire: WireFormat, node_id: str, instruments: Instruments
    ) -> None:
        self.kafka = kafka
        self.wire = wire
        self.node_id = node_id
        self.instruments = instruments
        self.producer: AIOKafkaProducer | None = None

    async def send(self, rejected: Sequence[Rejected]) -> None:
        """Return when Kafka has acknowledged a dead letter for each message, however long that takes.

        A message of the dead letters topic itself is logged and left: it must not breed.
        """
        for item in rejected:
            message = item.message
            place = f"{message.topic}[{message.partition}] offset {message.offset}"
            self.instruments.counter(DEAD_LETTERS_TOTAL).labels(message.topic, STAGE).inc()
            if message.topic == DEAD_LETTERS.name:
                log.error("%s is a dead letter that can't be stored, left in Kafka: %s", place, item.reason)
            else:
                log.warning("%s goes to the dead letters: %s", place, item.reason)
        letters = [dead_letter(r, self.node_id) for r in rejected if r.message.topic != DEAD_LETTERS.name]
        attempt = 0
        while letters:
            try:
                letters = await self.produce(letters)
            except (KafkaError, OSError) as error:
                attempt += 1
                pause = backoff(attempt)
                log.warning(
                    "dead letters were not sent, try %d follows in %.1f s: %r", attempt + 1, pause, error
                )
                await asyncio.sleep(pause)

    async def produce(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Produce letters; return those that were too large, cut. Raises `KafkaError` where Kafka is away."""
        producer = await self.started()
        sent = []
        again = []
        for letter in letters:
            try:
                sent.append(
                    await producer.send(DEAD_LETTERS.name, self.wire.encode(letter), key=letter.key.encode())
                )
            except MessageSizeTooLargeError:
                sent.append(None)
                again.append(cut(letter))
        for letter, acknowledged in zip(letters, sent, strict=True):
            if acknowledged is not None:
                try:
                    await acknowledged
                except MessageSizeTooLargeError:
                    again.append(cut(letter))
        return again

    async def started(self) -> AIOKafkaProducer:
        """Return the producer, started at the first call. Raises `KafkaError`."""
        if self.producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.kafka.brokers,
                client_id=f"{self.kafka.client_id}-dead-letters",
                enable_idempotence=True,
                max_request_size=REQUEST_BYTES,
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self.producer = producer
        return self.producer

    async def close(self) -> None:
        """Stop the producer."""
        if self.producer is not None:
            await self.producer.stop()
            self.producer = None


def cut(letter: DeadLetter) -> DeadLetter:
    """Return a letter that was too large, with less of the value; the whole one is still in its topic."""
    value = letter.message_value or b""
    kept = value[: min(CUT_BYTES, len(value) // 2 if len(value) <= CUT_BYTES else CUT_BYTES)]
    before = CUT.search(letter.reason)
    whole = int(before[1]) if before else len(value)
    letter.reason = CUT.sub("", letter.reason) + CUT_NOTE.format(kept=len(kept), whole=whole)
    letter.message_value = kept
    return letter
