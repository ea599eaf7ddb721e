"""A rolling restart of every part under load, as an update of the Helm chart does one.

Each part in turn gets SIGTERM, has the chart's time to end, is started, and is awaited until it is ready; of
brokers the next follows once all replicas are in sync. How late an event is: from its `record_*` call until
ClickHouse began to insert its row; of a completion also the row of what was computed from it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import yaml
from aiokafka.admin import AIOKafkaAdminClient

from evometrics.deploy.process.child import ChildProcess
from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.kafka.replicas import replicas_missing
from evometrics.schemas.topics import EVOLUTION_METRICS, RAW_TOPICS
from tests.faults.check import merge
from tests.faults.journal import Call
from tests.faults.outage import quantile
from tests.faults.parts import ROOT, Parts
from tests.support.tables import client

#: When events were seen (Unix time), by id.
Seen = Mapping[str, float]
#: What the chart gives stream workers besides their names (deploy/helm/evometrics/templates/workers.yaml).
ENVIRONMENT = {"EVOMETRICS_STREAM_LEAVE_GROUP": "true"}
VALUES = ROOT / "deploy" / "helm" / "evometrics" / "values.yaml"
ORDER = ("kafka", "stream", "sink", "node", "clickhouse")
#: Most that an event may be late, seconds.
LATE_SECONDS = 5.0
#: Of it there is one server here: it is away while it restarts, as replicas would not be together.
ALONE = "clickhouse"
#: The step in which it merges all at once what the faults have kept apart.
MERGE = "merge"
#: Between two looks at whether replicas are in sync, and the longest that this is waited for, seconds.
LOOK_SECONDS, SYNC_SECONDS = 0.5, 60.0


@dataclass(frozen=True)
class Step:
    """One part's restart, or the time before the first, or of `MERGE`.

    Attributes:
        part: its name, or that of the time.
        begin: when it was told to stop, Unix time; of what is alone a little earlier, as what was recorded
            just before waits for it, too.
        stop_seconds: until it had ended.
        ready_seconds: from then until it was ready again.
    """

    part: str
    begin: float
    stop_seconds: float = 0.0
    ready_seconds: float = 0.0


@dataclass(frozen=True)
class StepReport:
    """How late what was recorded between a step's begin and the next one's was.

    Attributes:
        late_ms: p50, p99 and max of raw events.
        computed_ms: the same of what was computed from completions.
    """

    step: Step
    events: int
    late_ms: dict[str, float]
    computed_ms: dict[str, float]

    @property
    def late(self) -> str:
        """Which part made an event too late, and how late; empty where none did that must not."""
        most = max(self.late_ms["max"], self.computed_ms["max"]) / 1000
        if self.step.part == MERGE or most <= LATE_SECONDS:
            return ""
        return f"at {self.step.part} an event was {most:.1f} s late"


def stop_seconds() -> float:
    """Return how long the chart gives a part to end."""
    return float(yaml.safe_load(VALUES.read_text())["terminationGracePeriodSeconds"])


def most_seconds(parts: int, gap: float) -> float:
    """Return for how long the load may have to continue in `roll`."""
    return 2 * gap + parts * (gap + 30.0)


async def roll(parts: Parts, nodes: Iterable[str], gap: float) -> tuple[list[Step], list[str]]:
    """Restart every part, `gap` seconds between; return the steps, and who did not leave in good order."""
    steps = [Step("before", time.time())]
    unclean: list[str] = []
    await asyncio.sleep(2 * gap)
    grace = stop_seconds()
    for kind in ORDER:
        names = nodes if kind == "node" else (name for name in parts.supervised if name.startswith(kind))
        for name in sorted(names, reverse=True):
            child = parts.supervised[name].child
            child.spec = replace(child.spec, grace=grace)
            if kind == ALONE:  # it would load each of the small parts
                steps.append(Step(MERGE, time.time()))
                twice = await asyncio.to_thread(merge, parts.clickhouse.url)
                unclean += [f"{twice} messages stored twice"] if twice else []
                await asyncio.sleep(gap)
            begin = time.time()
            if kind == ALONE:
                await asyncio.sleep(gap)
            stopped, ready, said = await restarted(parts, name)
            steps.append(Step(name, begin, stopped, ready))
            unclean += said
            if kind == "kafka":
                await in_sync(parts)
            await asyncio.sleep(gap)
    return steps, unclean


async def restarted(parts: Parts, name: str) -> tuple[float, float, list[str]]:
    """Stop a part with SIGTERM and start it again.

    Returns the seconds until it had ended, and from then until it was ready, and what was not in good order.
    """
    part, begin = parts.supervised[name], time.monotonic()
    if (runs := parts.orchestrators.get(name)) is not None:
        said = await orchestrator_restarted(part.child, runs)
        return time.monotonic() - begin, 0.0, said
    await part.stop()
    stopped, code = time.monotonic(), part.child.exit_code
    await part.start()
    of_kafka = name.startswith("kafka") and code in (143, -signal.SIGTERM)
    said = [] if code == 0 or of_kafka else [f"{name} exited with {code}"]
    return stopped - begin, time.monotonic() - stopped, said


async def orchestrator_restarted(child: ChildProcess, runs: asyncio.Event) -> list[str]:
    """Stop an orchestrator, which is started again by what runs it; say so where it had to be killed."""
    assert child.pid is not None
    runs.clear()
    os.kill(child.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(child.spec.grace):
            await runs.wait()
    except TimeoutError:
        os.kill(child.pid, signal.SIGKILL)
        await runs.wait()
        return [f"{child.spec.name} did not end"]
    return []


async def in_sync(parts: Parts) -> None:
    """Wait until every replica of every topic is in sync. Raises TimeoutError."""
    admin = AIOKafkaAdminClient(**client_options(parts.kafka))
    await admin.start()
    try:
        async with asyncio.timeout(SYNC_SECONDS):
            topics = await admin.list_topics()
            while sum((await replicas_missing(admin, topics)).values()):  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(LOOK_SECONDS)
    finally:
        await admin.close()


def inserted(url: str) -> tuple[dict[str, float], dict[str, float]]:
    """Return when ClickHouse first began to insert each raw event, and what came of each completion."""
    raw = " UNION ALL ".join(
        f"SELECT toString(event_id), toFloat64(min(_inserted_at)) FROM {topic.table}_rows GROUP BY event_id"
        for topic in RAW_TOPICS
    )
    computed = (
        f"SELECT toString(source_event_id), toFloat64(min(_inserted_at)) FROM {EVOLUTION_METRICS.table}_rows "
        "WHERE status != 'abandoned' GROUP BY source_event_id"
    )
    with client(url) as sql:
        return dict(sql.query(raw).result_rows), dict(sql.query(computed).result_rows)


def reported(
    steps: Sequence[Step], calls: Sequence[tuple[str, Call]], raw: Seen, computed: Seen
) -> list[StepReport]:
    """Return how late events were, by step; `calls` by event id."""
    found = []
    for number, step in enumerate(steps):
        end = steps[number + 1].begin if number + 1 < len(steps) else float("inf")
        own = [(event_id, call.at) for event_id, call in calls if step.begin <= call.at < end]
        found.append(StepReport(step, len(own), waits(own, raw), waits(own, computed)))
    return found


def waits(recorded: Iterable[tuple[str, float]], seen: Seen) -> dict[str, float]:
    """Return p50, p99 and max of what was seen, milliseconds."""
    seconds = sorted(seen[event_id] - at for event_id, at in recorded if event_id in seen)
    return {name: quantile(seconds, share) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}
