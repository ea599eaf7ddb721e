"""Computes the derived events of raw events, in this process or in several, each with some of the partitions.

Partitions share nothing except the counts of their scopes, which are small and are merged here, step by step.
An event belongs to its agent's partition, that of the agent's first event, whatever partition the event
itself lies in: an agent's events are in two if partitions were added to a topic. Events and rows pass through
pipes. A computing process ends when its pipe does, together with the process that started it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Sequence
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

from evometrics.schemas.service.pace import set_collector_pace
from evometrics.schemas.service.registry_access import RegistryAccess
from evometrics.schemas.topics import SCOPE_COUNTS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.registry import RegistryClient
from evometrics.sinks.raw.event import RawEvent
from evometrics.streams.offline import ENDS, Change, OfflineStream
from evometrics.streams.processors.computations import ScopeWork
from evometrics.streams.producer import Message
from evometrics.streams.settings import StreamSettings
from evometrics.streams.states.incarnations import sources_table

END_SECONDS = 5.0
#: The `Change.table` of the agents' partitions.
HOMES = "homes"
#: The tables of the counts that are merged here, and the topic of these, as it is in `ENDS`.
MERGED = {*ScopeWork.tables, sources_table(ScopeWork.name)}
COUNTS = SCOPE_COUNTS.encode()


class Computing:
    """The stream offline, over all partitions. Use it as an async context manager.

    Args:
        processes: number of computing processes; 1: in this process, in a thread.

    Attributes:
        unreadable_before: events that are counted in `unreadable` and were read before.
    """

    def __init__(self, settings: StreamSettings, wire: WireFormat, processes: int = 1) -> None:
        self.stream = OfflineStream(settings, wire)
        self.wire = wire
        self.processes = processes
        self.children: list[Child] = []
        self.unreadable_before = 0
        self.homes: dict[bytes, int] = {}
        self.homes_told = 0

    async def __aenter__(self) -> Computing:
        if self.processes > 1:
            self.children = [Child(self.stream.settings, self.wire) for _ in range(self.processes)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(asyncio.to_thread(child.end) for child in self.children))

    @property
    def unreadable(self) -> int:
        """Number of events that the stream would have turned into dead letters."""
        return (
            self.unreadable_before + self.stream.unreadable + sum(child.unreadable for child in self.children)
        )

    @property
    def cpu_seconds(self) -> float:
        """CPU time used by this process and the others."""
        return time.process_time() + sum(child.cpu_seconds for child in self.children)

    async def abandon(self, now: int) -> list[Message]:
        """Return the reports of evolutions that count as abandoned by the clock at a time, microseconds."""
        if not self.children:
            return await asyncio.to_thread(self.stream.abandon, now)
        return [message for each in await self.ask_all("abandon", now) for message in each]

    async def changes(self) -> list[Change]:
        """Return what has changed since the last call; the first time, all that there is.

        Another one that is given all changes in their order (`restore`) goes on as this one, whatever its
        number of processes.
        """
        homes: dict[int, dict[bytes, bytes | None]] = {}
        for agent, partition in islice(self.homes.items(), self.homes_told, None):
            homes.setdefault(partition, {})[agent] = b""
        self.homes_told = len(self.homes)
        found = [Change(HOMES, partition, agents) for partition, agents in homes.items()]
        found += await asyncio.to_thread(self.stream.changes)
        return found + [change for each in await self.ask_all("changes") for change in each]

    async def restore(self, changes: Sequence[Change]) -> None:
        """Apply changes of another one."""
        shares: list[list[Change]] = [[] for _ in self.children]
        own = []
        for change in changes:
            if change.table == HOMES:
                self.homes |= dict.fromkeys(change.values, change.partition)
            elif not self.children or change.table in MERGED:
                own.append(change)
            elif change.table == ENDS and COUNTS in change.values:
                theirs = {topic: end for topic, end in change.values.items() if topic != COUNTS}
                own.append(change._replace(values={COUNTS: change.values[COUNTS]}))
                shares[change.partition % len(shares)].append(change._replace(values=theirs))
            else:
                shares[change.partition % len(shares)].append(change)
        await asyncio.to_thread(self.stream.restore, own)
        await asyncio.gather(
            *(
                asyncio.to_thread(child.ask, "restore", share)
                for child, share in zip(self.children, shares, strict=True)
            )
        )

    async def ask_all(self, what: str, *about: Any) -> list[Any]:
        """Return all processes' answers."""
        return await asyncio.gather(*(asyncio.to_thread(child.ask, what, *about) for child in self.children))

    async def step(self, events: Sequence[RawEvent]) -> list[Message]:
        """Return the derived events of the next events, each agent's in order."""
        home = self.homes.setdefault
        for event in events:
            event.partition = home(event.key, event.partition)
        if not self.children:
            return await asyncio.to_thread(self.stream.feed, events)
        shares: list[list[RawEvent]] = [[] for _ in self.children]
        for event in events:
            shares[event.partition % len(shares)].append(event)
        done = await asyncio.gather(
            *(
                asyncio.to_thread(child.ask, "by_partition", share)
                for child, share in zip(self.children, shares, strict=True)
                if share
            )
        )
        derived = [message for each, _ in done for message in each]
        return derived + self.stream.merge(count for _, counts in done for count in counts)


class Child:
    """A process that computes some of the partitions.

    Attributes:
        unreadable, cpu_seconds: the figures that it reported last.
    """

    def __init__(self, settings: StreamSettings, wire: WireFormat) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        registry = (wire.registry.url, wire.registry.access) if wire.registry is not None else None
        self.process = context.Process(target=serve, args=(theirs, settings, registry), daemon=True)
        self.process.start()
        theirs.close()
        self.unreadable = 0
        self.cpu_seconds = 0.0

    def ask(self, what: str, *about: Any) -> Any:
        """Return what a method of its `OfflineStream` returns; blocking.

        Raises what the process raised, and `RuntimeError` if the process has died.
        """
        try:
            self.pipe.send((what, about))
            answer = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError(
                f"a computing process has ended ({self.process.exitcode}): nothing was changed"
            ) from error
        if isinstance(answer, BaseException):
            raise answer
        found, self.unreadable, self.cpu_seconds = answer
        return found

    def end(self) -> None:
        """End the process; blocking."""
        self.pipe.close()
        self.process.join(END_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


def serve(pipe: Connection, settings: StreamSettings, registry: tuple[str, RegistryAccess] | None) -> None:
    """Main function of a computing process: compute what comes through a pipe until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_collector_pace()
    stream = OfflineStream(
        settings, WireFormat(RegistryClient(registry[0], access=registry[1]) if registry else None)
    )
    while True:
        try:
            what, about = pipe.recv()
        except EOFError:
            return
        try:
            answer = getattr(stream, what)(*about), stream.unreadable, time.process_time()
        except Exception as error:
            pipe.send(error)
        else:
            pipe.send(answer)
