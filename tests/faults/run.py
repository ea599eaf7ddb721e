"""One run: start the parts, load them, break them, let them drain, compare."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from evometrics.deploy.pipeline.drain import drain, pipeline_groups
from evometrics.schemas.events import Event
from evometrics.schemas.service.tasks import end_tasks
from evometrics.sinks.settings import SinkSettings
from evometrics.streams.settings import StreamSettings
from tests.faults.chaos import inject, resume_all
from tests.faults.check import Result, check, count_refused
from tests.faults.clocks import Clocks, wrong_then_right
from tests.faults.crash import crashes_had, parse_crashes
from tests.faults.disks import DISKS, full_disk
from tests.faults.journal import Call, read_journal
from tests.faults.orchestrator import ENOUGH
from tests.faults.outage import PhaseReport, outages, quantile, report_phases
from tests.faults.parts import Parts, process_environment
from tests.faults.rolling import ENVIRONMENT, Step, StepReport, inserted, reported, roll
from tests.faults.scaling import scale
from tests.faults.schedule import plan_faults
from tests.faults.topics import AFTER, grown, made_anew, renewed
from tests.faults.watch import Watch
from tests.support.disks import mounted_image
from tests.support.generator import Load, generate
from tests.support.model import SECOND

#: Distinct events that an evolution of the generator has on average, a little less than it really is.
EVENTS_PER_EVOLUTION = 5.7
#: At most: a stream remembers 128 snapshots of an agent; one that comes later than these corrects nothing.
EVENTS_PER_AGENT = 50
NODES = [f"node-{number}" for number in range(4)]
DRAIN_SECONDS = 300
#: Seconds that the load continues once the last planned crash has happened.
AFTER_CRASHES = 2.0


@dataclass(frozen=True)
class Plan:
    """What one run does: load, and one kind of trouble.

    Attributes:
        seed: of load and faults.
        events: events to send, about; where the trouble decides when the load ends, at most.
        brokers: nodes of the Kafka cluster.
        rate: events a second, all orchestrators together.
        streams, sinks: workers.
        duplicates: share of events that orchestrators send twice.
        faults: random faults, spread over the load.
        crash: planned crashes, see `crash`.
        without: guarantees to switch off, see `weakened`.
        outage: seconds that the brokers, then ClickHouse, are unreachable; 0 = never.
        disk: which disk runs full, one of `disks.CASES`.
        scalings: how often the workers go from one to three and back.
        rolling: whether every part is restarted, one after another.
        gap: seconds between two steps of these.
        clock: kind of part whose clocks are set wrong, see `clocks`; empty = none.
        ahead: by how many seconds they are ahead then.
        topics: how topics change, one of `topics.CASES`; empty = they do not.
        secured: whether Kafka wants TLS and a login, and allows each kind of part its role's rights alone.
    """

    seed: int
    events: int
    brokers: int = 1
    rate: float = 1200.0
    streams: int = 2
    sinks: int = 2
    duplicates: float = 0.03
    faults: int = 0
    crash: str = ""
    without: str = ""
    outage: float = 0.0
    disk: str = ""
    scalings: int = 0
    rolling: bool = False
    gap: float = 4.0
    clock: str = ""
    ahead: int = 0
    topics: str = ""
    secured: bool = False


@dataclass(frozen=True)
class Report:
    """What came of one run.

    Attributes:
        faults: random faults by kind and part.
        crashes: planned crashes that happened, by point.
        crashes_missed: entries of the plan that some process did not come to, by process.
        restarts: how often each part was started again after it died.
        outage: what was measured, phase by phase.
        rolled: what was measured at each restart of a rolling one.
        unclean: workers that did not leave in good order when told to, events that were late in a rolling
            restart, parts that hung, events that nodes refused, rights that Kafka denied.
        refused_seconds: until every stream worker had refused topics with more partitions; 0 = none had.
        latency_ms: of `record_*`: p50, p99, max.
        seconds: by step: start, load, drain, check, stop.
        said: what the supervisor said.
    """

    plan: Plan
    result: Result
    faults: dict[str, int]
    crashes: dict[str, int]
    crashes_missed: dict[str, list[str]]
    restarts: dict[str, int]
    outage: list[PhaseReport]
    rolled: list[StepReport]
    unclean: list[str]
    refused_seconds: float
    latency_ms: dict[str, float]
    seconds: dict[str, float]
    said: list[str] = field(repr=False, default_factory=list)

    @property
    def right(self) -> bool:
        """Whether all went as it should: nothing lost, nothing twice, every planned crash reached."""
        return self.result.right and not self.crashes_missed and not self.unclean


class Stopwatch:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)


class Run:
    """A run under way, in a folder of its own, which is kept where the result is not as it should be."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.folder = Path(tempfile.mkdtemp(prefix=f"faults-{plan.seed}-"))
        self.said: list[str] = []
        self.parts = Parts(
            self.folder,
            plan.brokers,
            process_environment(plan.without, plan.crash) | (ENVIRONMENT if plan.rolling else {}),
            self.said.append,
            Clocks(self.folder / "clocks") if plan.clock else None,
            plan.secured,
            plan.rolling,
        )
        self.watch = Watch(self.parts)
        self.mounts = contextlib.ExitStack()
        self.faults: Counter[str] = Counter()
        self.outage: list[PhaseReport] = []
        self.steps: list[Step] = []
        self.rolled: list[StepReport] = []
        self.unclean: list[str] = []
        self.refused_seconds = self.renewed_at = 0.0
        self.deleted: dict[str, float] = {}
        self.sent: dict[str, list[Event]] = {}
        self.journals = self.parts.journals
        self.groups = pipeline_groups(StreamSettings().group, SinkSettings().group)

    async def start(self) -> None:
        """Make the load, and start the parts meanwhile. Raises OSError where a disk can't be mounted."""
        if self.plan.disk:
            folder, megabytes = DISKS[self.plan.disk.partition("-")[0]]
            self.mounts.enter_context(mounted_image(self.folder / folder, megabytes))
        made = asyncio.to_thread(generate, load_of(self.plan))
        events, _ = await asyncio.gather(made, self.parts.start(self.plan.streams, self.plan.sinks))
        self.sent = {node: [event for _, event in events if event.node_id == node] for node in NODES}
        for node, own in self.sent.items():
            (self.journals / f"{node}.events").write_bytes(pickle.dumps(own))

    async def load(self) -> None:
        """Let the orchestrators record and send everything, and cause the trouble meanwhile."""
        await self.record(self.trouble())
        if self.plan.topics == "grown":
            self.renewed_at = await renewed(self.parts, self.plan.seed, self.groups[1])
            (self.journals / ENOUGH).unlink()
            await self.record(self.enough_after(AFTER))

    async def record(self, trouble: Coroutine[None, None, None]) -> None:
        """Let the orchestrators record and send until they are done, or have enough, under some trouble."""
        troubled = asyncio.create_task(trouble)
        recording = asyncio.create_task(self.parts.orchestrate(NODES, self.plan.rate))
        try:
            await asyncio.wait({troubled, recording}, return_when=asyncio.FIRST_EXCEPTION)
            await troubled
            await recording
        finally:
            await end_tasks([troubled, recording])
            await resume_all(self.parts)

    async def trouble(self) -> None:
        """Cause what the plan says; where that decides how long the load is, end it then."""
        plan, parts = self.plan, self.parts
        seconds = plan.events / plan.rate
        struck = []
        if plan.faults:
            names = sorted({*parts.children, *NODES})
            struck.append(inject(parts, plan_faults(plan.seed, names, seconds, plan.faults), self.faults))
        if parts.clocks is not None:
            struck.append(wrong_then_right(parts, parts.clocks, plan.clock, plan.ahead, seconds))
        if plan.disk:
            struck.append(full_disk(parts, plan.disk))
            self.faults["full disk"] += 1
        await asyncio.gather(*struck)
        if plan.outage:
            await self.watch.start()
            try:
                phases = await outages(parts, self.watch, plan.outage, plan.rate)
            finally:
                await self.watch.stop()
            self.outage = report_phases(phases, self.watch.samples, self.calls(), plan.rate)
        if plan.scalings:
            self.unclean = await scale(parts, plan.scalings, plan.gap)
        if plan.rolling:
            self.steps, self.unclean = await roll(parts, NODES, plan.gap)
        if plan.crash:
            await self.crashed(plan.events / plan.rate)
        if plan.topics == "anew":
            self.deleted = await made_anew(parts, plan.seed, self.groups)
        if plan.topics == "grown":
            self.refused_seconds = round(await grown(parts, plan.seed), 1)
        if plan.outage or plan.scalings or plan.rolling or plan.crash or plan.disk or plan.topics:
            (self.journals / ENOUGH).touch()

    async def enough_after(self, seconds: float) -> None:
        """Let the load continue for some time and end it."""
        await asyncio.sleep(seconds)
        (self.journals / ENOUGH).touch()

    def calls(self) -> list[Call]:
        """Return every `record_*` call that has returned so far."""
        return [call for _, call in self.node_calls()]

    def node_calls(self) -> Iterator[tuple[str, Call]]:
        """Yield the same calls with their nodes."""
        for node in NODES:
            for call in read_journal(self.journals / f"{node}.journal").calls:
                yield node, call

    def late(self) -> None:
        """Look how late events were in a rolling restart."""
        calls = [(self.sent[node][call.number].event_id, call) for node, call in self.node_calls()]
        self.rolled = reported(self.steps, calls, *inserted(self.parts.clickhouse.url))
        self.unclean += filter(None, (each.late for each in self.rolled))

    async def crashed(self, at_most: float) -> None:
        """Wait until every planned crash has happened, and a little longer."""
        began = time.monotonic()
        while time.monotonic() - began < at_most:
            await asyncio.sleep(0.2)
            if not self.crashes()[1]:
                return await asyncio.sleep(AFTER_CRASHES)
        return None

    def crashes(self) -> tuple[dict[str, int], dict[str, list[str]]]:
        """Return the planned crashes that happened, by point, and those that did not, by process."""
        had: Counter[str] = Counter()
        missed: dict[str, list[str]] = {}
        for name in sorted({*self.parts.supervised, *NODES}):
            kind = name.partition("-")[0].replace("node", "publisher")
            points = [crash.point for crash in parse_crashes(self.plan.crash) if crash.kind == kind]
            number = crashes_had(self.parts.crash_counter(name))
            had.update(points[:number])
            if points[number:]:
                missed[name] = points[number:]
        return dict(had), missed


def load_of(plan: Plan) -> Load:
    """Return the load of a plan: hours of event time, the newest of it hours ago."""
    return Load(
        seed=plan.seed,
        begin=(int(time.time()) - 30 * 3600) * SECOND,
        agents=max(200, plan.events // EVENTS_PER_AGENT),
        evolutions=max(4, round(plan.events / EVENTS_PER_EVOLUTION)),
        nodes=len(NODES),
        hours=10,
        duplicate=plan.duplicates,
        unfinished_earlier_hours=26,
    )


async def run(plan: Plan, tell: Callable[[str], None]) -> Report:
    """Carry out a plan; `tell` hears where the folder is that was kept."""
    own = Run(plan)
    clock = Stopwatch()
    parts = own.parts
    try:
        with clock.step("start"):
            await own.start()
        with clock.step("load"):
            await own.load()
        with clock.step("drain"):
            await drain(parts.kafka, own.groups, DRAIN_SECONDS)
        with clock.step("check"):
            own.unclean += [f"Kafka denied {each}" for each in parts.denied()]
            if refused := await asyncio.to_thread(count_refused, parts.clickhouse.url):
                own.unclean.append(f"{refused} events were refused by their nodes")
            if plan.rolling:
                await asyncio.to_thread(own.late)
            result = await asyncio.to_thread(
                check,
                parts.clickhouse.url,
                own.journals,
                own.sent,
                parts.kafka.partitions,
                own.deleted,
                own.renewed_at,
            )
    except BaseException:
        tell(f"seed {plan.seed}: logs are in {own.folder}")
        (own.folder / "said.txt").write_text("\n".join(own.said))
        raise
    finally:
        with own.mounts, clock.step("stop"):  # what is mounted goes whatever interrupts the rest
            await resume_all(parts)
            await parts.stop()
    latencies = sorted(call.seconds for call in own.calls())
    had, missed = own.crashes()
    report = Report(
        plan=plan,
        result=result,
        faults=dict(own.faults),
        crashes=had,
        crashes_missed=missed,
        restarts=dict(parts.restarts),
        outage=own.outage,
        rolled=own.rolled,
        refused_seconds=own.refused_seconds,
        unclean=[*own.unclean, *(line for line in own.said if "is not live" in line)],
        latency_ms={name: quantile(latencies, q) for name, q in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))},
        seconds=clock.seconds,
        said=own.said,
    )
    if report.right != bool(plan.without):  # without a guarantee, what is not right is what was wanted
        shutil.rmtree(own.folder)
    else:
        (own.folder / "said.txt").write_text("\n".join(own.said))
        tell(f"seed {plan.seed}: not as it should be, everything is kept in {own.folder}")
    return report
