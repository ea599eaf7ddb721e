"""Looks at a contender from outside while it works: what has come of it, and what each process has used."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from evometrics.deploy.pipeline.drain import DrainTimeout

POLL_SECONDS = 0.05
#: So long nothing may have come after all offsets were committed, before it counts as the end.
QUIET_SECONDS = 1.5
#: A contender that makes no progress for this many seconds, with work left, does not get through it.
STALLED_SECONDS = 180


class Sample(NamedTuple):
    """What was seen at one moment.

    Attributes:
        at: `time.monotonic()`.
        counts: rows or messages that have come out, the main kind first.
        cpu: seconds of processor time each process has used since it began.
    """

    at: float
    counts: tuple[int, ...]
    cpu: Mapping[str, float]


@dataclass(frozen=True)
class Span:
    """A contender's work between the first and the last that came of it.

    Attributes:
        events: that came out within it.
        seconds: how long it took.
        cpu_seconds: processor time by process.
    """

    events: int
    seconds: float
    cpu_seconds: dict[str, float]

    @property
    def events_per_s(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_us_per_event(self) -> dict[str, float]:
        """Microseconds of processor time for an event, by process."""
        return {name: seconds / self.events * 1e6 for name, seconds in self.cpu_seconds.items()}

    @property
    def cores(self) -> dict[str, float]:
        """How much of a core each process used."""
        return {name: seconds / self.seconds for name, seconds in self.cpu_seconds.items()}


class TooShort(RuntimeError):
    """All came at once: there is nothing between a first and a last that could be timed."""


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the processor time that each process and its ended children have used."""
    found = {}
    for name, pid in pids.items():
        with contextlib.suppress(psutil.Error):
            found[name] = sum(psutil.Process(pid).cpu_times()[:4])
    return found


def resident_mb(pids: Mapping[str, int]) -> dict[str, float]:
    """Return each process's resident memory, MB of 10^6 bytes."""
    found = {}
    for name, pid in pids.items():
        with contextlib.suppress(psutil.Error):
            found[name] = round(psutil.Process(pid).memory_info().rss / 1e6, 1)
    return found


def span_between(first: Sample, last: Sample) -> Span:
    """Return what was done between two samples."""
    events, seconds = last.counts[0] - first.counts[0], last.at - first.at
    if events <= 0 or seconds <= 0:
        raise TooShort("all events came out within one look: give more --events")
    return Span(events, seconds, {n: last.cpu[n] - first.cpu.get(n, 0.0) for n in last.cpu})


def work_span(samples: Sequence[Sample], not_before: float = 0.0) -> Span:
    """Return the span from the first output (and not before a moment) to the one that completed all.

    Start-up is in nobody's span; what the first look found was done before it, and is not counted.
    """
    final = samples[-1].counts
    first = next((s for s in samples if s.counts[0] > 0 and s.at >= not_before), samples[-1])
    last = next(s for s in samples if s.counts == final)
    return span_between(first, last)


def whole_span(samples: Sequence[Sample]) -> Span:
    """Return the span from the first sample to the one that completed all."""
    return span_between(samples[0], next(s for s in samples if s.counts == samples[-1].counts))


async def watched(
    count: Callable[[], Awaitable[tuple[int, ...]]],
    pids: Mapping[str, int],
    done: Awaitable[None],
    ended_parts: Callable[[], str],
    tails: Callable[[], str],
) -> list[Sample]:
    """Take samples until `done` has returned and nothing more has come for a while.

    Raises RuntimeError once `ended_parts` names one that broke, or if nothing makes progress; `tails` gives
    the ends of the contenders' logs.
    """
    ended = asyncio.ensure_future(done)
    samples: list[Sample] = []
    quiet_since = time.monotonic()
    moved: tuple[float, tuple[int, ...]] = (quiet_since, ())
    try:
        while not ended.done() or time.monotonic() - quiet_since < QUIET_SECONDS:
            counts = await count()
            now = time.monotonic()
            if not samples or samples[-1].counts != counts or not ended.done():
                quiet_since = now
            samples.append(Sample(now, counts, cpu_seconds(pids)))
            if problem := ended_parts():
                raise RuntimeError(f"{problem}\n{tails()}")
            if counts != moved[1]:
                moved = (now, counts)
            elif not ended.done() and now - moved[0] > STALLED_SECONDS:
                raise RuntimeError(f"nothing came for {STALLED_SECONDS} s after {counts}\n{tails()}")
            await asyncio.sleep(POLL_SECONDS)
        try:
            await ended
        except DrainTimeout as error:
            raise RuntimeError(f"a contender did not get through its work: {error}") from error
    finally:
        ended.cancel()
    return samples


class TopicEnds:
    """How many messages topics hold."""

    def __init__(self, brokers: str, *topics: str) -> None:
        self.topics = topics
        self.consumer = AIOKafkaConsumer(*topics, bootstrap_servers=brokers, group_id=None)

    async def __aenter__(self) -> TopicEnds:
        await self.consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.consumer.stop()

    async def __call__(self) -> tuple[int, ...]:
        """Return the number of messages by topic, in the topics' order."""
        partitions = {t: self.consumer.partitions_for_topic(t) or () for t in self.topics}
        wanted = [TopicPartition(t, p) for t, numbers in partitions.items() for p in numbers]
        ends = await self.consumer.end_offsets(wanted)
        return tuple(sum(end for tp, end in ends.items() if tp.topic == t) for t in self.topics)
