"""A message in the dead letters, with the letters that stages wrote about it and its retries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from evometrics.schemas.letters.letter import CUT, KEY_CUT


class MessageSource(NamedTuple):
    """Where a message was read."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] offset {self.offset}"


class Letter(NamedTuple):
    """One stage's report on a message."""

    stage: str
    event_id: str
    reason: str
    node_id: str


class Retry(NamedTuple):
    """A retry of a message: when (microseconds), by whom, and its new place in the topic."""

    at: int
    node_id: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message in the dead letters.

    Attributes:
        source: where it was read.
        agent_id: its key as text, empty if it has none or it is not text.
        at: its broker timestamp, microseconds since 1970.
        size: bytes of its value that are kept; None if it has no value.
        letters: one for each stage that gave up on it.
        retries: when it was sent again, oldest first.
    """

    source: MessageSource
    agent_id: str
    at: int
    size: int | None
    letters: tuple[Letter, ...]
    retries: tuple[Retry, ...]

    @property
    def state(self) -> str:
        """`retried` once it was sent again, else `open`. If it fails again that is a message of its own."""
        return "retried" if self.retries else "open"

    @property
    def whole_size(self) -> int | None:
        """The message's original size if only its beginning is kept; else None."""
        found = [int(cut[1]) for letter in self.letters if (cut := CUT.search(letter.reason))]
        return found[0] if found and found[0] != self.size else None

    @property
    def whole_key(self) -> int | None:
        """The key's original size if only its beginning is kept; else None."""
        found = [int(cut[1]) for letter in self.letters if (cut := KEY_CUT.search(letter.reason))]
        return found[0] if found else None


class Bytes(NamedTuple):
    """A message's key and value, byte for byte."""

    key: bytes | None
    value: bytes | None
