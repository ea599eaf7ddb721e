"""Inputs and results of a batch processor: values, no Faust, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, Protocol, TypeAlias, TypeVar

from evometrics.streams.producer import Message
from evometrics.streams.sources.misplaced import MisplacedEvent

E_co = TypeVar("E_co", covariant=True)

#: States of a table's partition that are kept decoded; the others stay bytes until they are needed.
LIVE_LIMIT = 20_000


@dataclass(slots=True)
class Sourced(Generic[E_co]):
    """An event, where it was read, and the results that depend on it alone.

    Attributes:
        offset: the message's place (`incarnations`): its offset, except for a topic that was recreated.
        value: the event's message value, as this worker would write it.
        output: the message that the event leads to whatever came before it.
        snapshots: messages of the snapshots made from its KPIs.
        arrived: when it arrived at the broker, microseconds; of starts.
    """

    topic: str
    partition: int
    offset: int
    event: E_co
    value: bytes
    output: Message | None = None
    snapshots: Sequence[Message] = ()
    arrived: int = 0


#: The stored states of one partition of a table, by key.
ReadStates: TypeAlias = Mapping[bytes, bytes]


class ReadableTable(Protocol):
    """Read access to a state table."""

    def partition(self, number: int) -> ReadStates:
        """Return one partition."""


#: A stream's state tables by name.
Tables: TypeAlias = Mapping[str, ReadableTable]


class State(Protocol):
    """A value of a state table."""

    def encode(self) -> bytes:
        """Return the value's encoding."""


S = TypeVar("S", bound=State)


class LiveStates(Generic[S]):
    """States of one partition, decoded on first use and changed in place; tracks which were changed.

    They reflect the batches up to now; the stored bytes reflect what was written. If a batch is not carried
    out, this object must be discarded, and another one made from the stored bytes.

    Args:
        new: returns the state of a key that has none.
        decode: decodes a state.
        stored: the states as last written.
    """

    def __init__(self, new: Callable[[], S], decode: Callable[[bytes], S], stored: ReadStates) -> None:
        self.new = new
        self.decode = decode
        self.stored = stored
        self.live: dict[str, S] = {}
        self.changed: set[str] = set()

    def get(self, key: str) -> S:
        """Return the state of a key, a new one if there is none."""
        state = self.live.get(key)
        if state is None:
            value = self.stored.get(key.encode())
            state = self.live[key] = self.new() if value is None else self.decode(value)
        return state

    def change(self, key: str) -> S:
        """Return the state of a key that the caller is about to change."""
        self.changed.add(key)
        return self.get(key)

    def writes(self) -> dict[bytes, bytes | None]:
        """Return the bytes, by key, of the states changed since the last call."""
        changed, self.changed = self.changed, set()
        return {key.encode(): self.live[key].encode() for key in changed}

    def trim(self) -> None:
        """Keep no more than `LIVE_LIMIT` decoded; all states must have been written."""
        for key in list(islice(self.live, max(0, len(self.live) - LIVE_LIMIT))):
            del self.live[key]


@dataclass(slots=True)
class Outcome:
    """The results of a batch.

    Attributes:
        messages: derived events and partial counts, to be produced and acknowledged first.
        writes: the states to write next, in this order: each entry is a table's name, a partition and values
            by key, None for a key to delete.
        applied: events that counted.
        duplicates: events skipped because their event_id was known.
        fenced: events skipped because their offset was applied before a restart.
        too_late: scopes that an event came too late for.
        misplaced: events of agents whose partition is another, to be sent there.
    """

    messages: list[Message] = field(default_factory=list)
    writes: list[tuple[str, int, Mapping[bytes, bytes | None]]] = field(default_factory=list)
    applied: int = 0
    duplicates: int = 0
    fenced: int = 0
    too_late: int = 0
    misplaced: Sequence[MisplacedEvent] = ()
