"""What a lane does with one partition's records: turns them into messages and states.

Each lane's own part, and why one record's fault stays its own, is in `computations`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

from evometrics.schemas.events import DeadLetter, Event
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
from evometrics.schemas.wire.reading import Record, read_event
from evometrics.streams.producer import MAX_MESSAGE_BYTES, Message, MessageTooLarge, check_size
from evometrics.streams.settings import StreamSettings
from evometrics.streams.states.incarnations import Places
from evometrics.streams.states.live import Outcome, ReadStates, Sourced, Tables

T = TypeVar("T")

#: Raised if a record's data are at fault: it can't be read, or leads to a message larger than its topic
#: accepts.
AT_FAULT = (UnreadableMessage, MessageTooLarge)
#: How `letter_of` begins the reason of a message that was read.
WAS_READ = f"{MessageTooLarge.__name__}("


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


class Processor(Protocol):
    """Combines what was read with a partition's states."""

    def __init__(self, settings: StreamSettings, wire: WireFormat) -> None: ...

    def forget(self, partition: int) -> None:
        """Drop the in-memory state of a partition."""


class Work(ABC):
    """The computation of one lane.

    Attributes:
        name: the lane's name.
        topics: the topics that it reads.
        tables: the tables that hold its states, in the order in which they are written.
        makes: the class of its processor.
        places: gives a record's place in its topic.
        node_id: this worker's name in dead letters.
    """

    name: ClassVar[str]
    topics: ClassVar[tuple[str, ...]]
    tables: ClassVar[tuple[str, ...]]
    makes: ClassVar[type[Processor]]
    processor: Processor

    def __init__(
        self,
        settings: StreamSettings,
        wire: WireFormat,
        states: Tables,
        places: Places,
        partitions: int | None = None,
    ) -> None:
        """`states`: the tables by name, of all lanes; `partitions`: of each topic, None where not needed."""
        self.wire = wire
        self.states = states
        self.places = places
        self.partitions = partitions
        self.node_id = settings.instance or settings.group
        self.processor = self.makes(settings, wire)

    @abstractmethod
    def compute(self, partition: int, records: list[Record]) -> tuple[Outcome, list[DeadLetter]]:
        """Return the outcome of a partition's records, and the dead letters.

        Leaves the tables unchanged, but not the states in memory, which must be dropped (`forget`) if it
        raises.
        """

    def do(self, partition: int, records: list[Record]) -> Done:
        """Compute; the results are certain to fit into their topics. Raises if a record is at fault."""
        outcome, letters = self.compute(partition, records)
        return sized(partition, records, outcome, letters, letter_messages(letters, self.wire))

    def forget(self, partition: int) -> None:
        """Drop the in-memory state of a partition; it is rebuilt from the stored states."""
        self.processor.forget(partition)

    def stored(self, partition: int) -> Mapping[str, ReadStates]:
        """Return one partition of each of the tables."""
        return {name: self.states[name].partition(partition) for name in self.tables}

    def each(self, records: list[Record], make: Callable[[Record], T]) -> tuple[list[T], list[DeadLetter]]:
        """Apply `make` to records; those whose data are at fault become dead letters."""
        batch: list[T] = []
        letters: list[DeadLetter] = []
        for record in records:
            try:
                batch.append(make(record))
            except AT_FAULT as reason:
                letters.append(letter_of(record, reason, self.node_id))
        return batch, letters

    def read(self, record: Record) -> Sourced[Any]:
        event = read_event(self.wire, record)
        assert record.value is not None
        value = self.own_value(event, record.value)
        return Sourced(record.topic, record.partition, self.places.of(record), event, value)

    def own_value(self, event: Event, value: bytes) -> bytes:
        """Return an event's message value as this worker writes it, usually identical to the one received."""
        return value if value.startswith(self.wire.prefixes[event.record]) else self.wire.encode(event)


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
    moved = [check_size(Message(e.topic, e.agent_id.encode(), e.value, e.home)) for e in outcome.misplaced]
    return Done(partition, records, outcome, list(letters), [*outcome.messages, *moved, *more])


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
            was_read = letter.reason.startswith(WAS_READ)
            if not was_read:
                counter(STREAM_UNREADABLE).labels(letter.source_topic).inc()
            # a message that can't be read is the sink's to count, where a sink reads its topic
            if was_read or letter.source_topic not in BY_NAME:
                counter(DEAD_LETTERS_TOTAL).labels(letter.source_topic, letter.stage).inc()
    for topic, number in events.items():
        counter(STREAM_EVENTS).labels(topic).inc(number)
    for topic, number in outputs.items():
        if topic in BY_NAME:  # the stream's own counts are not derived events
            counter(STREAM_OUTPUTS).labels(topic).inc(number)
