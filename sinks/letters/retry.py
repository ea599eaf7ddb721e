"""Sends dead messages again to their topics, once the cause is repaired.

A message keeps its key and its bytes, so its event keeps its id: whatever was stored or computed of it before
remains, and the rest is added. A retry is recorded after Kafka has the message: a crash in between leaves a
message that is sent once more, which changes nothing that analysts see.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.structs import RecordMetadata

import evometrics.schemas.kafka.client_fixes  # noqa: F401 - fixes how a client finds its cluster
from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.events import SystemEvent, now_micros
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.kafka.reaching import why_unavailable
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import ended_within
from evometrics.schemas.topics import BY_NAME, SYSTEM_EVENTS
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat
from evometrics.schemas.wire.reading import read_event
from evometrics.sinks.letters.dead_message import Bytes, DeadMessage
from evometrics.sinks.letters.letters import RETRIED, Letters, Selection

CONNECT_SECONDS = 15.0
CLOSE_SECONDS = 5.0
REQUEST_BYTES = 16_000_000
RECORDED_SECONDS = 20.0


class RetryFailed(EvometricsError, RuntimeError):
    """Kafka did not accept a message; the error names it and says what was done until then."""


@dataclass(slots=True)
class Candidate:
    """A message as a retry would send it.

    Attributes:
        topic, partition, offset, key, value: the message, as a reader would get it.
        timestamp: now, milliseconds.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """What a retry does with each of some messages.

    Attributes:
        send: messages to send again, with their bytes.
        left: messages to leave, and why.
    """

    send: list[tuple[DeadMessage, Bytes]]
    left: list[tuple[DeadMessage, str]]


async def plan_retry(
    letters: Letters, wire: WireFormat, selection: Selection
) -> AsyncGenerator[RetryPlan, None]:
    """Decide what to send again, oldest first, some messages at a time; changes nothing.

    A message named by one of its ids is sent whatever its state. Of the others, those that were sent before
    are left, and those that would only become dead letters again. A message of which only the beginning is
    kept can't be sent at all. Letters that arrive after the first plan are not included: otherwise a message
    that is still bad would be sent endlessly.

    Raises as `Letters.find`, and `RegistryUnavailable`.
    """
    by_id = bool(selection.event_ids)
    if by_id:
        await letters.find(selection)
    async for messages in letters.pages(selection, oldest_first=True):
        async for page in letters.messages(messages):
            yield await asyncio.to_thread(plan_page, page, wire, by_id)


def plan_page(page: Sequence[tuple[DeadMessage, Bytes]], wire: WireFormat, by_id: bool) -> RetryPlan:
    """Decide which of some messages to send again; blocking, as it may ask the registry."""
    plan = RetryPlan([], [])
    for message, content in page:
        reason = refusal(message, content, wire, by_id)
        if reason is None:
            plan.send.append((message, content))
        else:
            plan.left.append((message, reason))
    return plan


def refusal(message: DeadMessage, content: Bytes, wire: WireFormat, by_id: bool) -> str | None:
    """Return why a message is not sent again; None if it is."""
    if message.whole_size is not None or message.whole_key is not None:
        kept = f"only {message.size} of its {message.whole_size} bytes are"
        if message.whole_size is None:
            kept = f"only the beginning of its key of {message.whole_key} bytes is"
        return (
            f"{kept} kept here, so it can't be sent again; the whole message is in Kafka at "
            f"{message.source}, for as long as the topic retains it"
        )
    if by_id:
        return None
    if message.retries:
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(message.retries[-1].at / 1_000_000))
        return f"was already sent again at {when}; to send it once more, give its id"
    reason = unreadable(message, content, wire)
    return f"is still bad: {reason}; to send it anyway, give its id" if reason else None


def unreadable(message: DeadMessage, content: Bytes, wire: WireFormat) -> str | None:
    """Return why a message would become a dead letter again if sent now; None if it would not."""
    if message.source.topic not in BY_NAME:
        return None
    try:
        read_event(wire, Candidate(*message.source, time.time_ns() // 1_000_000, *content))
    except UnreadableMessage as error:
        return str(error)
    return None


async def send_again(
    letters: Letters, kafka: KafkaSettings, wire: WireFormat, selection: Selection, by: str
) -> AsyncGenerator[RetryPlan, None]:
    """Send again what `plan_retry` decides; yield each plan once Kafka has its messages.

    No broker is asked before there is a message to send. `by`: what sends them, as in `Retrier`. Raises as
    `plan_retry` and `Retrier` do; what was yielded until then is done.
    """
    async with AsyncExitStack() as stack:
        plans = await stack.enter_async_context(aclosing(plan_retry(letters, wire, selection)))
        retrier: Retrier | None = None
        async for plan in plans:
            if plan.send:
                if retrier is None:
                    await asyncio.to_thread(wire.register)
                    retrier = await stack.enter_async_context(Retrier(kafka, wire, by))
                await retrier.send(plan.send)
            yield plan


class Retrier:
    """Sends messages again and records it. Use it as an async context manager.

    Entering raises `RetryFailed` if no broker answers within seconds.

    Args:
        by: what sends them; its records have it and the host's name as their node.

    Attributes:
        sent: how many messages were sent and recorded.
    """

    def __init__(self, kafka: KafkaSettings, wire: WireFormat, by: str) -> None:
        self.kafka = kafka
        self.wire = wire
        self.sent = 0
        self.node_id = f"{by}-{socket.gethostname()}"
        self.producer = AIOKafkaProducer(
            **client_options(kafka),
            enable_idempotence=True,
            max_request_size=REQUEST_BYTES,
        )

    async def __aenter__(self) -> Retrier:
        try:
            await asyncio.wait_for(self.producer.start(), CONNECT_SECONDS)
        except BaseException as error:
            await self.close()
            if isinstance(error, TimeoutError | KafkaConnectionError | OSError):
                raise RetryFailed(await why_unavailable(self.kafka)) from error
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await ended_within(CLOSE_SECONDS, "the producer", self.producer.stop())

    async def send(self, messages: Sequence[tuple[DeadMessage, Bytes]]) -> None:
        """Send a plan's messages again and record each. Raises `RetryFailed`; some may have been sent."""
        try:
            await self.send_page(messages)
        except KafkaError as error:
            raise RetryFailed(
                f"Kafka at {self.kafka.brokers} did not accept all messages: {error!r}; {self.sent} are sent "
                "and recorded. Run the command again once the cause is fixed: a message sent twice counts "
                "once"
            ) from error
        self.sent += len(messages)

    async def send_page(self, page: Sequence[tuple[DeadMessage, Bytes]]) -> None:
        """Send some messages, wait until Kafka has them, then record them. Raises `KafkaError`."""
        waiting = []
        for message, content in page:
            partition = await self.partition(message, content)
            topic = message.source.topic
            waiting.append(
                await self.producer.send(topic, content.value, key=content.key, partition=partition)
            )
        taken: list[RecordMetadata] = await asyncio.gather(*waiting)
        recorded = []
        for (message, _), place in zip(page, taken, strict=True):
            event = SystemEvent(
                event_id=new_event_id(),
                agent_id="",
                node_id=self.node_id,
                occurred_at=now_micros(),
                event_type=RETRIED,
                data=retried_data(message, place.partition, place.offset),
            )
            value, key = self.wire.encode(event), event.key.encode()
            recorded.append(await self.producer.send(SYSTEM_EVENTS.name, value, key=key))
        await asyncio.gather(*recorded)

    async def partition(self, message: DeadMessage, content: Bytes) -> int | None:
        """Return a keyless message's old partition; None for other messages, whose key decides."""
        if content.key is not None:
            return None
        known = await self.producer.partitions_for(message.source.topic)
        return message.source.partition if message.source.partition in known else None


def retried_data(message: DeadMessage, partition: int, offset: int) -> str:
    """Return the data of the system event that records a retry."""
    return json.dumps(
        {
            "source_topic": message.source.topic,
            "source_partition": message.source.partition,
            "source_offset": message.source.offset,
            "letters": [letter.event_id for letter in message.letters],
            "partition": partition,
            "offset": offset,
        }
    )


async def recorded(letters: Letters, messages: Sequence[DeadMessage], before: int) -> bool:
    """Wait until `Letters` shows messages as sent again after `before` (microseconds), or too long.

    Until the sink has stored the retries, another retry would not know of them. Of many messages, pass the
    first and the last.
    """
    ids = tuple(message.letters[0].event_id for message in messages)
    deadline = time.monotonic() + RECORDED_SECONDS
    while True:
        found = await letters.find(Selection(event_ids=ids))
        if all(m.retries and m.retries[-1].at >= before for m in found):
            return True
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.2)  # a wait for the sink, not a retry: nothing failed
