"""Sends messages that can't be read or stored to the dead letters topic, with their bytes and the reason."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

import evometrics.schemas.kafka.client_fixes  # noqa: F401 - fixes how a client finds its cluster
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.kafka.rights import right_missing
from evometrics.schemas.letters.letter import ROOM_BYTES, SINK, dead_letter
from evometrics.schemas.metrics import DEAD_LETTERS_TOTAL, PUBLISH_ERRORS, Instruments
from evometrics.schemas.service.backoff import backoff
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import ended_within
from evometrics.schemas.topics import DEAD_LETTERS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.sinks.worker.batch import Rejected

log = logging.getLogger(__name__)

#: If the topic accepts less than a letter's size, the room for its bytes is halved, down to this.
LEAST_ROOM = 1000
REQUEST_BYTES = 2 * ROOM_BYTES
STOP_SECONDS = 3.0


class DeadLetters:
    """The sink's producer of dead letters; started when the first one is sent.

    Attributes:
        trouble: why letters can't be sent at the moment; None while they can.
    """

    def __init__(
        self, kafka: KafkaSettings, wire: WireFormat, node_id: str, instruments: Instruments
    ) -> None:
        self.kafka = kafka
        self.wire = wire
        self.node_id = node_id
        self.instruments = instruments
        self.producer: AIOKafkaProducer | None = None
        self.trouble: str | None = None

    async def send(self, rejected: Sequence[Rejected]) -> None:
        """Return once Kafka has acknowledged a dead letter for each message, however long that takes.

        A bad message of the dead letters topic itself is only logged: it must not produce further letters.
        """
        for item in rejected:
            message = item.message
            place = f"{message.topic}[{message.partition}] offset {message.offset}"
            self.instruments.counter(DEAD_LETTERS_TOTAL).labels(message.topic, SINK).inc()
            if message.topic == DEAD_LETTERS.name:
                log.error("%s is a dead letter that can't be stored, left in Kafka: %s", place, item.reason)
            else:
                log.warning("%s becomes a dead letter: %s", place, item.reason)
        letters = [(r, ROOM_BYTES) for r in rejected if r.message.topic != DEAD_LETTERS.name]
        attempt = 0
        while letters:
            try:
                letters = await self.produce(letters)
            except (KafkaError, OSError) as error:
                attempt += 1
                self.instruments.counter(PUBLISH_ERRORS).inc()
                pause = backoff(attempt)
                why = right_missing(error, self.kafka, "sink") or repr(error)
                log.warning(
                    "dead letters were not sent; attempt %d follows in %.1f s: %s", attempt + 1, pause, why
                )
                self.trouble = f"dead letters are not sent ({why})"
                await asyncio.sleep(pause)
                if is_spent(error):
                    await self.begin_anew()
            else:
                attempt, self.trouble = 0, None

    async def produce(self, letters: Sequence[tuple[Rejected, int]]) -> list[tuple[Rejected, int]]:
        """Produce the letters of messages, each with its maximum length of key and value.

        Returns the letters that are too large for the topic, with less room. Raises `KafkaError` if Kafka is
        unreachable.
        """
        producer = await self.started()
        under_way = []
        for item, room in letters:
            letter = dead_letter(item.message, SINK, item.reason, self.node_id, room)
            value = self.wire.encode(letter)
            under_way.append(await producer.send(DEAD_LETTERS.name, value, key=letter.key.encode()))
        again = []
        for (item, room), acknowledged in zip(letters, under_way, strict=True):
            try:
                await acknowledged
            except MessageSizeTooLargeError:
                if room > LEAST_ROOM:
                    again.append((item, room // 2))
                else:
                    log.error(
                        "%s accepts no dead letter of any size; raise its max.message.bytes",
                        DEAD_LETTERS.name,
                    )
        if again:
            await self.begin_anew()
        return again

    async def started(self) -> AIOKafkaProducer:
        """Return the producer, starting it at the first call. Raises `KafkaError`."""
        if self.producer is None:
            producer = AIOKafkaProducer(
                **client_options(self.kafka),
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

    async def begin_anew(self) -> None:
        """Replace the producer: the next letters are sent by a new one."""
        producer, self.producer = self.producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await ended_within(STOP_SECONDS, "the producer of dead letters", producer.stop())

    async def close(self) -> None:
        await self.begin_anew()


def is_spent(error: Exception) -> bool:
    """Return whether an error has made an idempotent producer unusable.

    A refused batch has used up sequence numbers of its partition: the broker then accepts no later ones,
    however often they are sent (`OutOfOrderSequenceNumber`). Only a new producer can continue.
    """
    return isinstance(error, KafkaError) and not (error.retriable or isinstance(error, KafkaTimeoutError))
