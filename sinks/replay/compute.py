"""Computes what raw events lead to, in this process or in several, each with some of the partitions.

Partitions share nothing but the counts of their scopes, which are small and are merged here, step by step.
An event counts for its agent's partition, the one in which the first of that agent's events lies, and not
for the one in which it happens to lie itself: an agent's are in two where partitions were added to a topic.
Events and rows pass through pipes. A process that computes ends when its pipe does, with whoever began it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

from evometrics.schemas.service.pace import set_collector_pace
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.registry import RegistryClient
from evometrics.sinks.raw.event import RawEvent
from evometrics.streams.offline import OfflineStream
from evometrics.streams.producer import Message
from evometrics.streams.settings import StreamSettings

END_SECONDS = 5.0


class Computing:
    """The stream offline, over all partitions. Use it as an async context manager.

    Args:
        processes: how many compute; 1 for this one, in a thread.
    """

    def __init__(self, settings: StreamSettings, wire: WireFormat, processes: int = 1) -> None:
        self.stream = OfflineStream(settings, wire)
        self.wire = wire
        self.processes = processes
        self.children: list[Child] = []
        self.homes: dict[bytes, int] = {}

    async def __aenter__(self) -> Computing:
        if self.processes > 1:
            self.children = [Child(self.stream.settings, self.wire) for _ in range(self.processes)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(asyncio.to_thread(child.end) for child in self.children))

    @property
    def unreadable(self) -> int:
        """Events that the stream would have made dead letters of."""
        return self.stream.unreadable + sum(child.unreadable for child in self.children)

    @property
    def cpu_seconds(self) -> float:
        """Time of a processor that this process and the others have used."""
        return time.process_time() + sum(child.cpu_seconds for child in self.children)

    async def abandon(self, now: int) -> list[Message]:
        """Return the reports of what counts as abandoned by the clock at a time, microseconds."""
        if not self.children:
            return await asyncio.to_thread(self.stream.abandon, now)
        done = await asyncio.gather(*(asyncio.to_thread(child.ask, now) for child in self.children))
        return [message for each, _ in done for message in each]

    async def step(self, events: Sequence[RawEvent]) -> list[Message]:
        """Return the derived events of the next events, each agent's in their order."""
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
                asyncio.to_thread(child.ask, share)
                for child, share in zip(self.children, shares, strict=True)
                if share
            )
        )
        derived = [message for each, _ in done for message in each]
        return derived + self.stream.merge(count for _, counts in done for count in counts)


class Child:
    """A process that computes with some of the partitions.

    Attributes:
        unreadable, cpu_seconds: what it said of itself last.
    """

    def __init__(self, settings: StreamSettings, wire: WireFormat) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        registry = wire.registry.url if wire.registry is not None else ""
        self.process = context.Process(target=serve, args=(theirs, settings, registry), daemon=True)
        self.process.start()
        theirs.close()
        self.unreadable = 0
        self.cpu_seconds = 0.0

    def ask(self, events: Sequence[RawEvent] | int) -> tuple[list[Message], list[Message]]:
        """Return what `OfflineStream.by_partition` does, for a time what `abandon` does; blocking.

        Raises what it raised there, and `RuntimeError` where the process is gone.
        """
        try:
            self.pipe.send(events)
            answer = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError(
                f"a process that computes has ended ({self.process.exitcode}): nothing was changed"
            ) from error
        if isinstance(answer, BaseException):
            raise answer
        derived, counts, self.unreadable, self.cpu_seconds = answer
        return derived, counts

    def end(self) -> None:
        """End the process; blocking."""
        self.pipe.close()
        self.process.join(END_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


def serve(pipe: Connection, settings: StreamSettings, registry: str) -> None:
    """Compute what comes through a pipe until it ends: a process's work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_collector_pace()
    stream = OfflineStream(settings, WireFormat(RegistryClient(registry) if registry else None))
    while True:
        try:
            asked = pipe.recv()
        except EOFError:
            return
        try:
            found = (stream.abandon(asked), []) if isinstance(asked, int) else stream.by_partition(asked)
            answer = (*found, stream.unreadable, time.process_time())
        except Exception as error:
            pipe.send(error)
        else:
            pipe.send(answer)
