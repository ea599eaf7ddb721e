"""What a lane does with one partition's records: turns them into messages and states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from evometrics.schemas.events import DeadLetter
from evometrics.schemas.letters.letter import STREAM, dead_letter
from evometrics.schemas.letters.limit import BadMessage
from evometrics.schemas.metrics import (
    DEAD_LETTERS_TOTAL,
    STREAM_DUPLICATES,
    STREAM_EVENTS,
    STREAM_LATE,
    STREAM_OUTPUTS,
    STREAM_UNREADABLE,
    Instruments,
)
from evometrics.schemas.topics import BY_NAME, DEAD_LETTERS
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat
from evometrics.schemas.wire.reading import Record
from evometrics.streams.producer import MAX_MESSAGE_BYTES, Message, MessageTooLarge, check_size
from evometrics.streams.states.live import Outcome

#: Raised if a record's data are at fault: it can't be read, or leads to a message larger than its topic
#: accepts.
AT_FAULT = (UnreadableMessage, MessageTooLarge)
Compute: TypeAlias = Callable[[int, list[Record]], tuple[Outcome, list[DeadLetter]]]


@dataclass(frozen=True, slots=True)
class Done:
    """The results of some records of a partition.

    Attributes:
        records: the records.
        outcome: what was computed from them.
        letters: dead letters of those that could not be read.
        messages: all messages to produce, ready to be sent.
    """

    partition: int
    records: list[Record]
    outcome: Outcome = field(default_factory=Outcome)
    letters: list[DeadLetter] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Work:
    """A lane's computation.

    Attributes:
        compute: returns the outcome of a partition's records, and the dead letters; leaves the tables
            unchanged, but not the states in memory, which must be dropped if it raises.
        node_id: this worker's name in dead letters.
    """

    compute: Compute
    node_id: str

    def do(self, partition: int, records: list[Record], wire: WireFormat) -> Done:
        """Compute; the results are certain to fit into their topics. Raises if a record is at fault."""
        outcome, letters = self.compute(partition, records)
        return sized(partition, records, outcome, letters, letter_messages(letters, wire))


def sized(
    partition: int,
    records: list[Record],
    outcome: Outcome,
    letters: Sequence[DeadLetter] = (),
    more: Iterable[Message] = (),
) -> Done:
    """Return the results of records, with the messages of their dead letters.

    Raises `MessageTooLarge` if a message or a state is larger than its topic accepts.
    """
    for message in outcome.messages:
        if len(message[1]) + len(message[2] or b"") > MAX_MESSAGE_BYTES:
            check_size(message)
    for name, number, values in outcome.writes:
        for key, value in values.items():
            if value is not None and len(key) + len(value) > MAX_MESSAGE_BYTES:
                check_size(Message(f"the state in table {name}", key, value, number))
    return Done(partition, records, outcome, list(letters), [*outcome.messages, *more])


def letter_messages(letters: Iterable[DeadLetter], wire: WireFormat) -> Iterable[Message]:
    for letter in letters:
        yield Message(DEAD_LETTERS.name, letter.key.encode(), wire.encode(letter))


def letter_of(record: Record, reason: Exception, node_id: str) -> DeadLetter:
    """Return the dead letter of a message that the stream could not read or compute."""
    words = str(reason) if isinstance(reason, UnreadableMessage) else repr(reason)
    return dead_letter(record, STREAM, words, node_id)


def bad_messages(letters: Iterable[DeadLetter]) -> list[BadMessage]:
    """Return dead letters in the form in which they are counted."""
    return [BadMessage(x.source_topic, x.source_partition, x.source_offset, x.reason) for x in letters]


def count(instruments: Instruments, lane: str, done: Iterable[Done]) -> None:
    """Add the results to the worker's metrics."""
    counter = instruments.counter
    events: Counter[str] = Counter()
    outputs: Counter[str] = Counter()
    for each in done:
        events.update(record.topic for record in each.records)
        outputs.update(message.topic for message in each.outcome.messages)
        counter(STREAM_DUPLICATES).labels(lane).inc(each.outcome.duplicates)
        counter(STREAM_LATE).labels(lane).inc(each.outcome.too_late)
        for letter in each.letters:
            counter(STREAM_UNREADABLE).labels(letter.source_topic).inc()
            counter(DEAD_LETTERS_TOTAL).labels(letter.source_topic, letter.stage).inc()
    for topic, number in events.items():
        counter(STREAM_EVENTS).labels(topic).inc(number)
    for topic, number in outputs.items():
        if topic in BY_NAME:  # the stream's own counts are not derived events
            counter(STREAM_OUTPUTS).labels(topic).inc(number)
