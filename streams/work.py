"""What a lane does with one partition's records: from records to the messages and states they lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

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
from evometrics.schemas.validation import MAX_EVENT_BYTES
from evometrics.schemas.wire import UnreadableMessage, WireFormat
from evometrics.streams.batches import Outcome
from evometrics.streams.outputs import Message, check_size
from evometrics.streams.state import encode_state
from evometrics.streams.tables import StateTable

REASON_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Done:
    """What records of a partition led to.

    Attributes:
        records: the records.
        outcome: what was computed from them.
        letters: dead letters of those that could not be read.
        messages: all that is to be produced, ready to be sent.
    """

    partition: int
    records: list[ConsumerRecord]
    outcome: Outcome = field(default_factory=Outcome)
    letters: list[DeadLetter] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Work:
    """What a lane does.

    Attributes:
        compute: returns what a partition's records lead to, and the dead letters; does not change the tables.
        tables: the tables whose states change.
        node_id: this worker's name in dead letters.
    """

    compute: Callable[[int, list[ConsumerRecord]], tuple[Outcome, list[DeadLetter]]]
    tables: dict[str, StateTable]
    node_id: str

    def do(self, partition: int, records: list[ConsumerRecord], wire: WireFormat) -> Done:
        """Compute; what comes out can be produced for certain. Raises where a record is at fault."""
        outcome, letters = self.compute(partition, records)
        messages = [*map(check_size, derived_messages(outcome, wire)), *letter_messages(letters, wire)]
        for name, number, values in outcome.writes:
            for key, value in values.items():
                check_size(Message(f"the state in table {name}", key, value, number))
        return Done(partition, records, outcome, letters, messages)


def derived_messages(outcome: Outcome, wire: WireFormat) -> Iterable[Message]:
    """Return the messages of an outcome's events and counts."""
    for event in outcome.events:
        yield Message(BY_RECORD[event.record].name, event.key.encode(), wire.encode(event))
    for scope, counts in outcome.counts:
        yield Message(SCOPE_COUNTS, scope.key.encode(), encode_state(counts))


def letter_messages(letters: Iterable[DeadLetter], wire: WireFormat) -> Iterable[Message]:
    """Return the messages of dead letters."""
    for letter in letters:
        yield Message(DEAD_LETTERS.name, letter.key.encode(), wire.encode(letter))


def dead_letter(record: ConsumerRecord, reason: Exception, node_id: str) -> DeadLetter:
    """Return the dead letter of a message that the stream could not read or compute with.

    A message larger than any event is cut, with a word about it: its dead letter is larger still, and no
    topic would take it.
    """
    words = str(reason) if isinstance(reason, UnreadableMessage) else repr(reason)
    letter = DeadLetter(
        event_id=derived_id("dead_letter", record.topic, record.partition, record.offset, "stream"),
        agent_id=(record.key or b"").decode(errors="replace"),
        node_id=node_id,
        occurred_at=record.timestamp * 1000,
        source_topic=record.topic,
        source_partition=record.partition,
        source_offset=record.offset,
        stage="stream",
        reason=words[:REASON_CHARACTERS],
        message_key=record.key,
        message_value=record.value,
    )
    value = record.value
    if value is None or len(value) <= MAX_EVENT_BYTES:
        return letter
    note = f" (the first {MAX_EVENT_BYTES} of its {len(value)} bytes are kept here)"
    return replace(letter, reason=letter.reason + note, message_value=value[:MAX_EVENT_BYTES])


def count(instruments: Instruments, lane: str, done: Iterable[Done]) -> None:
    """Add what was done to the worker's metrics."""
    counter = instruments.counter
    events: dict[str, int] = {}
    outputs: dict[str, int] = {}
    for each in done:
        for record in each.records:
            events[record.topic] = events.get(record.topic, 0) + 1
        for event in each.outcome.events:
            outputs[event.record] = outputs.get(event.record, 0) + 1
        counter(STREAM_DUPLICATES).labels(lane).inc(each.outcome.duplicates)
        counter(STREAM_LATE).labels(lane).inc(each.outcome.too_late)
        for letter in each.letters:
            counter(STREAM_UNREADABLE).labels(letter.source_topic).inc()
            counter(DEAD_LETTERS_TOTAL).labels(letter.source_topic, letter.stage).inc()
    for topic, number in events.items():
        counter(STREAM_EVENTS).labels(topic).inc(number)
    for record_name, number in outputs.items():
        counter(STREAM_OUTPUTS).labels(BY_RECORD[record_name].name).inc(number)
