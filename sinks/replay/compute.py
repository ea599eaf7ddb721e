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
from multiprocessing.connection import Connection

from evometrics.schemas.service.pace import set_collector_pace
from evometrics.schemas.service.registry_access import RegistryAccess
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
        processes: number of computing processes; 1: in this process, in a thread.
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
        """Number of events that the stream would have turned into dead letters."""
        return self.stream.unreadable + sum(child.unreadable for child in self.children)

    @property
    def cpu_seconds(self) -> float:
        """CPU time used by this process and the others."""
        return time.process_time() + sum(child.cpu_seconds for child in self.children)

    async def abandon(self, now: int) -> list[Message]:
        """Return the reports of evolutions that count as abandoned by the clock at a time, microseconds."""
        if not self.children:
            return await asyncio.to_thread(self.stream.abandon, now)
        done = await asyncio.gather(*(asyncio.to_thread(child.ask, now) for child in self.children))
        return [message for each, _ in done for message in each]

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
                asyncio.to_thread(child.ask, share)
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

    def ask(self, events: Sequence[RawEvent] | int) -> tuple[list[Message], list[Message]]:
        """Return the result of `OfflineStream.by_partition`, or of `abandon` if given a time; blocking.

        Raises what the process raised, and `RuntimeError` if the process has died.
        """
        try:
            self.pipe.send(events)
            answer = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError(
                f"a computing process has ended ({self.process.exitcode}): nothing was changed"
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


def serve(pipe: Connection, settings: StreamSettings, registry: tuple[str, RegistryAccess] | None) -> None:
    """Main function of a computing process: compute what comes through a pipe until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_collector_pace()
    stream = OfflineStream(
        settings, WireFormat(RegistryClient(registry[0], access=registry[1]) if registry else None)
    )
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
