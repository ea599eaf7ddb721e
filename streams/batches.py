"""What goes into a batch processor and what comes out: values, no Faust, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from evometrics.schemas.events import Event
from evometrics.streams.state import S, ScopeCounts, decode_state, encode_state
from evometrics.streams.windows import Scope

E_co = TypeVar("E_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Sourced(Generic[E_co]):
    """An event and where it was read."""

    topic: str
    partition: int
    offset: int
    event: E_co


class ReadStates(Protocol):
    """One partition of a state table, to read from."""

    def get(self, key: bytes) -> bytes | None:
        """Return a state's bytes, None where there is none."""

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """Return all keys and states of the partition."""


class StateView(Generic[S]):
    """States of one partition, decoded on first use; knows which were changed."""

    def __init__(self, cls: type[S], stored: ReadStates) -> None:
        self.cls = cls
        self.stored = stored
        self.loaded: dict[str, S] = {}
        self.changed: set[str] = set()

    def get(self, key: str) -> S:
        """Return the state of a key, a new one where there is none."""
        state = self.loaded.get(key)
        if state is None:
            value = self.stored.get(key.encode())
            state = self.cls() if value is None else decode_state(self.cls, value)
            self.loaded[key] = state
        return state

    def change(self, key: str) -> S:
        """Return the state of a key that the caller is about to change."""
        self.changed.add(key)
        return self.get(key)

    def writes(self) -> dict[bytes, bytes]:
        """Return the changed states' bytes by key."""
        return {key.encode(): encode_state(self.loaded[key]) for key in sorted(self.changed)}

    def stored_keys(self) -> Iterator[str]:
        """Return the keys of all stored states."""
        return (key.decode() for key, _ in self.stored.items())


@dataclass(slots=True)
class Outcome:
    """What a batch led to.

    Attributes:
        events: derived events, to be produced and acknowledged first.
        counts: partial counts by scope, produced with them.
        writes: then state, in this order: each entry is a table's name, a partition and values by key.
        applied: events that counted.
        duplicates: events skipped because their event_id was known.
        fenced: events skipped because their offset was applied before a restart.
        too_late: scopes that an event came too late for.
    """

    events: list[Event] = field(default_factory=list)
    counts: list[tuple[Scope, ScopeCounts]] = field(default_factory=list)
    writes: list[tuple[str, int, Mapping[bytes, bytes]]] = field(default_factory=list)
    applied: int = 0
    duplicates: int = 0
    fenced: int = 0
    too_late: int = 0
