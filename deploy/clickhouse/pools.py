"""Pools: each kind of statement has threads of its own, so that none waits for another kind.

Inserts of data, the writer's changes, the writer's reads, and what readers run. Only readers are limited in
number, time and memory. Whatever reads has a low priority: it pauses while inserts run (`Precedence`).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from evometrics.deploy.clickhouse.classes import StatementClass
from evometrics.deploy.clickhouse.exchange import Request
from evometrics.deploy.clickhouse.limits import ReaderLimits, ReaderPlaces

#: Threads of a pool without a limit; further statements wait for one.
THREADS = 16
#: The engine's `priority`: 1 is the highest, and 0, the default, waits for nothing and has nothing wait.
INSERTS_FIRST, READS_AFTER = {"priority": "1"}, {"priority": "5"}


@dataclass(frozen=True, slots=True)
class Pool:
    """One kind of statement.

    Attributes:
        threads: those that its statements run on.
        settings: their defaults.
        places: how many may run at once, if that is limited.
        may_precede: whether statements of other kinds pause for it.
    """

    threads: ThreadPoolExecutor
    settings: Mapping[str, str] = field(default_factory=dict)
    places: ReaderPlaces | None = None
    may_precede: bool = False

    async def enter(self) -> None:
        """Wait for a place; raises `EngineError` (202) where none becomes free in time."""
        if self.places is not None:
            await self.places.take()

    def leave(self) -> None:
        """Give the place back."""
        if self.places is not None:
            self.places.give_back()


class Pools:
    """All pools, and which of them a request takes."""

    def __init__(self, limits: ReaderLimits) -> None:
        self._inserts = Pool(threads("insert"), may_precede=True)
        self._changes = Pool(threads("change"))
        self._reads = Pool(threads("read"), READS_AFTER)
        self._readers = Pool(
            threads("reader", limits.number),
            {**READS_AFTER, **limits.settings},
            ReaderPlaces(limits.number, limits.wait_seconds),
        )

    def of(self, request: Request, kind: StatementClass | None) -> Pool:
        """Return the pool of a request; `kind` is None for an insert of data."""
        if request.reader is not None:
            return self._readers
        if kind is None:
            return self._inserts
        return self._reads if kind.reads else self._changes

    def close(self) -> None:
        """Wait for the end of all statements; blocking."""
        for pool in (self._inserts, self._changes, self._reads, self._readers):
            pool.threads.shutdown()


def threads(name: str, number: int = THREADS) -> ThreadPoolExecutor:
    """Return a pool's threads."""
    return ThreadPoolExecutor(number, thread_name_prefix=name)
