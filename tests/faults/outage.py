"""Long outages under steady load, of the brokers, then ClickHouse: how the parts bear it and catch up."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from tests.faults.journal import Call
from tests.faults.parts import Parts
from tests.faults.watch import Sample, Watch

#: Caught up: what is on its way is no more than this many seconds of load.
CAUGHT_UP_SECONDS = 3.0
#: The load continues for this long at most while the pipeline catches up: this, and a multiple of the outage.
PATIENCE_SECONDS, PATIENCE_OUTAGES = 60.0, 0.5
AWAY_FOR_GOOD = 1e9


@dataclass(frozen=True)
class Phase:
    """One phase: before, broker down, after it, ClickHouse down, after it. Times are Unix times."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True)
class CatchUp:
    """How a backlog went: seconds until it was gone, events/s stored and recorded meanwhile."""

    seconds: float
    stored_per_second: float
    recorded_per_second: float


@dataclass(frozen=True)
class PhaseReport:
    """What was measured in one phase.

    Attributes:
        latency_ms: of `record_*`: p50, p99 and max.
        recorded_per_second: what the load really was.
        backlog: recorded events that were not stored at the phase's end; None where ClickHouse was down.
        catch_up: None where the phase does not follow an outage, or the backlog was not gone at its end.
        peak_mb, last_mb: resident memory of each part.
        restarts: of each part that was started again.
    """

    name: str
    seconds: float
    calls: int
    latency_ms: dict[str, float]
    recorded_per_second: float
    backlog: int | None
    catch_up: CatchUp | None
    peak_mb: dict[str, float]
    last_mb: dict[str, float]
    restarts: dict[str, int]


def most_seconds(seconds: float) -> float:
    """Return for how long the load may have to continue in `outages`."""
    return 2 * (warm_up(seconds) + seconds + 30 + patience(seconds) + settled(seconds))


def warm_up(seconds: float) -> float:
    return max(3.0, seconds / 8)


def patience(seconds: float) -> float:
    return PATIENCE_SECONDS + PATIENCE_OUTAGES * seconds


def settled(seconds: float) -> float:
    return max(2.0, seconds / 8)


async def outages(parts: Parts, watch: Watch, seconds: float, rate: float) -> list[Phase]:
    """Take the brokers down, then ClickHouse, `seconds` each; wait after each until all is caught up."""
    phases: list[Phase] = []

    @contextlib.contextmanager
    def phase(name: str) -> Iterator[None]:
        begin = time.time()
        yield
        phases.append(Phase(name, begin, time.time()))

    await watch.until(lambda sample: sample.recorded > 0, PATIENCE_SECONDS)
    await watch.until(lambda sample: is_caught_up(sample, rate), warm_up(seconds))
    with phase("before"):
        await asyncio.sleep(warm_up(seconds))
    for kind, name in (("kafka", "broker"), ("clickhouse", "ClickHouse")):
        with phase(f"{name} away"):
            async with away(parts, kind):
                await asyncio.sleep(seconds)
        with phase(f"after {name}"):
            await watch.until(lambda sample: is_caught_up(sample, rate), patience(seconds))
            await asyncio.sleep(settled(seconds))
    return phases


@contextlib.asynccontextmanager
async def away(parts: Parts, kind: str) -> AsyncIterator[None]:
    """Cut all clients off from the servers of a kind and kill these; start them again at the end."""
    servers = {name: part for name, part in parts.supervised.items() if name.startswith(kind)}
    for name in servers:
        await parts.proxies[name].cut(None, AWAY_FOR_GOOD)
        await parts.kill(name)
    try:
        yield
    finally:
        for name in servers:
            parts.proxies[name].cut_until.clear()
        await asyncio.gather(*(part.start() for part in servers.values()))


def is_caught_up(sample: Sample, rate: float) -> bool:
    return sample.backlog is not None and sample.backlog <= CAUGHT_UP_SECONDS * rate


def report_phases(
    phases: Sequence[Phase], samples: Sequence[Sample], calls: Sequence[Call], rate: float
) -> list[PhaseReport]:
    """Cut what was measured by phase."""
    return [report_phase(phase, samples, calls, rate) for phase in phases]


def report_phase(phase: Phase, samples: Sequence[Sample], calls: Sequence[Call], rate: float) -> PhaseReport:
    seen = [sample for sample in samples if phase.begin <= sample.at <= phase.end]
    latencies = sorted(call.seconds for call in calls if phase.begin <= call.at <= phase.end)
    peak: dict[str, float] = {}
    for sample in seen:
        for name, memory in sample.memory_mb.items():
            peak[name] = max(memory, peak.get(name, 0.0))
    before, last = seen[0].restarts, seen[-1].restarts
    seconds = phase.end - phase.begin
    return PhaseReport(
        name=phase.name,
        seconds=round(seconds, 1),
        calls=len(latencies),
        latency_ms={
            "p50": quantile(latencies, 0.5),
            "p99": quantile(latencies, 0.99),
            "max": quantile(latencies, 1),
        },
        recorded_per_second=round(len(latencies) / seconds, 1),
        backlog=seen[-1].backlog,
        catch_up=catch_up(seen, rate) if phase.name.startswith("after") else None,
        peak_mb=peak,
        last_mb=seen[-1].memory_mb,
        restarts={name: n - before.get(name, 0) for name, n in last.items() if n > before.get(name, 0)},
    )


def catch_up(samples: Sequence[Sample], rate: float) -> CatchUp | None:
    """Return how a backlog went, from the first sample that knows it to the first that shows it gone."""
    known = [sample for sample in samples if sample.stored is not None]
    gone = next((sample for sample in known if is_caught_up(sample, rate)), None)
    if gone is None or gone is known[0]:
        return None
    first = known[0]
    seconds = gone.at - first.at
    assert first.stored is not None
    assert gone.stored is not None
    return CatchUp(
        round(seconds, 1),
        round((gone.stored - first.stored) / seconds, 1),
        round((gone.recorded - first.recorded) / seconds, 1),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted seconds, in milliseconds; 0 where there are none."""
    if not ordered:
        return 0.0
    return round(1000 * ordered[min(len(ordered) - 1, math.floor(share * len(ordered)))], 2)
