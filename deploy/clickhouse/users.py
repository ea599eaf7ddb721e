"""Who uses the embedded ClickHouse: the writer, who may do everything, and a name that only reads."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReaderRights:
    """A user who only reads.

    Attributes:
        name: the user's name.
        databases: those whose tables it may read; the first is its current one unless it names another.
        limits: the most that it may set these settings to; 0, which is without limit, is more than any.
        owner: returns whose a running statement is, by its id, None if there is none of that id.
    """

    name: str
    databases: tuple[str, ...]
    limits: Mapping[str, float] = field(default_factory=dict)
    owner: Callable[[str], str | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class User:
    """A name to log in with.

    Attributes:
        password: empty = none is needed.
        reader: what a name that only reads may read; None for the writer.
    """

    name: str
    password: str = field(default="", repr=False)
    reader: ReaderRights | None = None

    def matches(self, password: str) -> bool:
        """Return whether the password is right, in a time that tells nothing of it."""
        return not self.password or hmac.compare_digest(password.encode(), self.password.encode())
