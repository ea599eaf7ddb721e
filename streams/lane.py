"""A lane takes one Faust agent's batches through the steps of design section 7, in order.

1. Read and compute (a processor's pure function).
2. Produce the outputs, wait until they are acknowledged.
3. Write the changed states, wait until they are acknowledged.
4. Acknowledge the batch to Faust, which commits its offset.

A crash between any two steps leads to the same outputs, with the same ids, when the batch is read again;
what was written to state is skipped then by its fence.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka.structs import ConsumerRecord

from evometrics.schemas.events import DeadLetter
from evometrics.schemas.ids import derived_id
from evometrics.schemas.metric_defs import (
    DEAD_LETTERS_TOTAL,
    STREAM_DUPLICATES,
    STREAM_EVENTS,
    STREAM_LATE,
    STREAM_OUTPUTS,
    STREAM_UNREADABLE,
    Instruments,
)
from evometrics.schemas.topics import BY_RECORD, DEAD_LETTERS, SCOPE_COUNTS
from evometrics.schemas.wire import UnreadableMessage, WireFormat
from evometrics.streams.batches import Outcome
from evometrics.streams.outputs import Message, OutputProducer
from evometrics.streams.state import encode_state
from evometrics.streams.tables import StateTable
from evometrics.streams.transport import BatchMessage

#: Batches waiting in a lane before Faust is held back.
LANE_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Work:
    """What a lane does with one partition's records: returns the outcome and the dead letters."""

    compute: Callable[[int, list[ConsumerRecord]], tuple[Outcome, list[DeadLetter]]]
    tables: dict[str, StateTable]


class Lane:
    """Runs batches of one agent, several partitions together so that one wait for the broker serves all."""

    def __init__(
        self,
        name: str,
        work: Work,
        producer: OutputProducer,
        wire: WireFormat,
        instruments: Instruments,
        failed: Callable[[BaseException], None],
    ) -> None:
        self.name = name
        self.work = work
        self.producer = producer
        self.wire = wire
        self.instruments = instruments
        self.failed = failed
        self.queue: asyncio.Queue[Any] = asyncio.Queue(LANE_DEPTH)
        self.task: asyncio.Task[None] | None = None

    async def put(self, event: Any) -> None:
        """Take a Faust event whose message is a `BatchMessage`; waits while the lane is full."""
        if self.task is None:
            self.task = asyncio.create_task(self.run(), name=f"lane-{self.name}")
        await self.queue.put(event)

    async def stop(self) -> None:
        """Stop; what was not acknowledged is read again by the next worker."""
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task

    async def run(self) -> None:
        """Process what is queued until stopped; a failure ends the worker, whose successor reads again."""
        try:
            while True:
                events = [await self.queue.get()]
                while not self.queue.empty():
                    events.append(self.queue.get_nowait())
                await self.process(events)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.failed(error)

    async def process(self, events: list[Any]) -> None:
        """Take Faust events through the four steps."""
        records: dict[int, list[ConsumerRecord]] = {}
        for event in events:
            message = event.message
            assert isinstance(message, BatchMessage)
            records.setdefault(message.partition, []).extend(message.records)
        results = [(partition, *self.work.compute(partition, batch)) for partition, batch in records.items()]
        outcomes = [outcome for _, outcome, _ in results]
        letters = [letter for _, _, found in results for letter in found]
        await self.producer.send_all([*self.derived(outcomes), *self.dead_letters(letters)])
        # every processor lists its tables in the same order, and that order matters (see there)
        for writes in zip(*(outcome.writes for outcome in outcomes), strict=True):
            table = self.work.tables[writes[0][0]]
            await table.write(self.producer, [(partition, values) for _, partition, values in writes])
        for event in events:
            event.ack()
        self.count(records, outcomes, letters)

    def derived(self, outcomes: Iterable[Outcome]) -> Iterable[Message]:
        """Return the messages of the outcomes' events and counts."""
        for outcome in outcomes:
            for event in outcome.events:
                topic = BY_RECORD[event.record].name
                yield Message(topic, event.key.encode(), self.wire.encode(event))
            for scope, counts in outcome.counts:
                yield Message(SCOPE_COUNTS, scope.key.encode(), encode_state(counts))

    def dead_letters(self, letters: Iterable[DeadLetter]) -> Iterable[Message]:
        """Return the messages of dead letters."""
        for letter in letters:
            yield Message(DEAD_LETTERS.name, letter.key.encode(), self.wire.encode(letter))

    def count(
        self,
        records: dict[int, list[ConsumerRecord]],
        outcomes: list[Outcome],
        letters: list[DeadLetter],
    ) -> None:
        """Add what was done to the worker's metrics."""
        counter = self.instruments.counter
        by_topic: dict[str, int] = {}
        for batch in records.values():
            for record in batch:
                by_topic[record.topic] = by_topic.get(record.topic, 0) + 1
        for topic, number in by_topic.items():
            counter(STREAM_EVENTS).labels(topic).inc(number)
        outputs: dict[str, int] = {}
        for outcome in outcomes:
            for event in outcome.events:
                outputs[event.record] = outputs.get(event.record, 0) + 1
            counter(STREAM_DUPLICATES).labels(self.name).inc(outcome.duplicates)
            counter(STREAM_LATE).labels(self.name).inc(outcome.too_late)
        for record_name, number in outputs.items():
            counter(STREAM_OUTPUTS).labels(BY_RECORD[record_name].name).inc(number)
        for letter in letters:
            counter(STREAM_UNREADABLE).labels(letter.source_topic).inc()
            counter(DEAD_LETTERS_TOTAL).labels(letter.source_topic, letter.stage).inc()


def dead_letter(record: ConsumerRecord, reason: Exception, node_id: str) -> DeadLetter:
    """Return the dead letter of a message that the stream could not read or compute with."""
    words = str(reason) if isinstance(reason, UnreadableMessage) else repr(reason)
    return DeadLetter(
        event_id=derived_id("dead_letter", record.topic, record.partition, record.offset, "stream"),
        agent_id=(record.key or b"").decode(errors="replace"),
        node_id=node_id,
        occurred_at=record.timestamp * 1000,
        source_topic=record.topic,
        source_partition=record.partition,
        source_offset=record.offset,
        stage="stream",
        reason=words,
        message_key=record.key,
        message_value=record.value,
    )
