"""One seed: start the parts, load them, break them, let them drain, compare."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from evometrics.deploy.drain import drain, pipeline_groups
from evometrics.sinks.settings import SinkSettings
from evometrics.streams.settings import StreamSettings
from tests.faults.check import Result, check
from tests.faults.parts import PARTITIONS, Parts, process_environment
from tests.faults.schedule import Fault, plan_faults
from tests.generator import Load
from tests.model import SECOND

#: Distinct events that an evolution of the generator has on average, a little less than it really is.
EVENTS_PER_EVOLUTION = 5.7
NODES = 4
DRAIN_SECONDS = 300


@dataclass(frozen=True)
class Plan:
    """What one seed does.

    Attributes:
        seed: of load and faults.
        events: events to send, about.
        brokers: nodes of the Kafka cluster.
        rate: events a second, all orchestrators together.
        every: mean seconds between two faults; 0 = none.
        without: a guarantee to switch off, see `weakened`.
        crash: a crash point, see `weakened`; instead of random faults.
        streams, sinks: workers.
    """

    seed: int
    events: int
    brokers: int = 1
    rate: float = 1200.0
    every: float = 5.0
    without: str = ""
    crash: str = ""
    streams: int = 2
    sinks: int = 2


@dataclass(frozen=True)
class Report:
    """What came of one seed."""

    plan: Plan
    faults: dict[str, int]
    result: Result
    seconds: float
    latency_p99_ms: float
    said: list[str] = field(repr=False, default_factory=list)


async def run_seed(plan: Plan, tell: Callable[[str], None]) -> Report:
    """Run one seed in a folder of its own, which is kept where the result is not right."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix=f"faults-{plan.seed}-"))
    said: list[str] = []
    faults: Counter[str] = Counter()
    environment = process_environment(plan.without, plan.crash)
    parts = Parts(folder, plan.brokers, plan.streams, plan.sinks, environment, said.append)
    load = Load(
        seed=plan.seed,
        begin=(int(time.time()) - 30 * 3600) * SECOND,
        agents=200,
        evolutions=max(4, round(plan.events / EVENTS_PER_EVOLUTION)),
        nodes=NODES,
        hours=10,
        unfinished_earlier_hours=26,
    )
    try:
        await parts.start()
        breaking = asyncio.create_task(inject(parts, plan, faults))
        try:
            reports = await parts.orchestrate(load, plan.rate)
        finally:
            breaking.cancel()
            injected = (await asyncio.gather(breaking, return_exceptions=True))[0]
        await resume_all(parts)
        groups = pipeline_groups(StreamSettings().group, SinkSettings().group)
        await drain(parts.kafka.brokers, groups, DRAIN_SECONDS)
        result = await asyncio.to_thread(check, parts.clickhouse.url, folder / "outbox", load, PARTITIONS)
        if isinstance(injected, Exception):
            raise injected
    except BaseException:
        tell(f"seed {plan.seed}: logs are in {folder}")
        raise
    finally:
        await resume_all(parts)
        await parts.stop()
    if result.right:
        shutil.rmtree(folder)
    else:
        tell(f"seed {plan.seed}: not right, everything is kept in {folder}")
    slowest = max(float(str(report["latency_p99_ms"] or 0)) for report in reports)
    return Report(plan, dict(faults), result, round(time.monotonic() - began, 1), round(slowest, 1), said)


async def inject(parts: Parts, plan: Plan, counted: Counter[str]) -> None:
    """Inject the seed's faults, each at its time; a part is hit by one fault at a time."""
    if plan.crash or plan.every <= 0:
        return
    names = sorted([*parts.children, *(f"node-{n}" for n in range(NODES))])
    schedule = plan_faults(plan.seed, names, plan.events / plan.rate, plan.every)
    began = time.monotonic()
    under_way: dict[str, asyncio.Task[None]] = {}
    try:
        for fault in schedule:
            await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
            busy = under_way.get(fault.part)
            if busy is not None and not busy.done():
                continue
            counted[f"{fault.kind} {fault.part.partition('-')[0]}"] += 1
            under_way[fault.part] = asyncio.create_task(strike(parts, fault))
        await asyncio.gather(*under_way.values())
    finally:
        for task in under_way.values():
            task.cancel()


async def strike(parts: Parts, fault: Fault) -> None:
    """Carry out one fault."""
    child = parts.children.get(fault.part)
    if child is None or child.pid is None or not child.running:
        return
    if fault.kind == "kill":
        os.kill(child.pid, signal.SIGKILL)
    elif fault.kind == "pause":
        os.kill(child.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            if child.running:
                os.kill(child.pid, signal.SIGCONT)
    elif fault.part in parts.proxies:
        await parts.proxies[fault.part].cut(None, fault.seconds)
    else:
        await asyncio.gather(*(proxy.cut(child.pid, fault.seconds) for proxy in parts.proxies.values()))


async def resume_all(parts: Parts) -> None:
    """Let every paused part run, and every cut connection come back."""
    for child in parts.children.values():
        if child.running and child.pid is not None:
            os.kill(child.pid, signal.SIGCONT)
    for proxy in parts.proxies.values():
        proxy.cut_until.clear()
