"""A rolling restart of every part under load, as an update of the Helm chart does one.

Each part in turn gets SIGTERM, has the chart's time to end, is started, and is awaited until it is ready; of
brokers the next follows once all replicas are in sync. How late an event is: from its `record_*` call until
ClickHouse began to insert its row, and the row of what was computed from it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import yaml
from aiokafka.admin import AIOKafkaAdminClient

from evometrics.schemas.kafka.client_options import client_options
from evometrics.schemas.kafka.replicas import replicas_missing
from evometrics.schemas.topics import EVOLUTION_METRICS, RAW_TOPICS
from tests.faults.journal import Call
from tests.faults.outage import quantile
from tests.faults.parts import ROOT, Parts
from tests.support.tables import client

#: What the chart gives stream workers besides their names (deploy/helm/evometrics/templates/workers.yaml).
ENVIRONMENT = {"EVOMETRICS_STREAM_LEAVE_GROUP": "true"}
VALUES = ROOT / "deploy" / "helm" / "evometrics" / "values.yaml"
#: Parts that hold no partitions and no connections of others are last.
ORDER = ("kafka", "stream", "sink", "node", "clickhouse")
#: Most that an event may be late, seconds.
LATE_SECONDS = 5.0
#: Between two looks at whether replicas are in sync, and the longest that this is waited for, seconds.
LOOK_SECONDS, SYNC_SECONDS = 0.5, 60.0


@dataclass(frozen=True)
class Step:
    """One part's restart, or the time before the first.

    Attributes:
        part: its name.
        begin: when it was told to stop, Unix time.
        stop_seconds: until it had ended.
        ready_seconds: from then until it was ready again.
    """

    part: str
    begin: float
    stop_seconds: float = 0.0
    ready_seconds: float = 0.0


@dataclass(frozen=True)
class StepReport:
    """How late what was recorded between a step's begin and the next one's was; ms: p50, p99, max."""

    step: Step
    events: int
    late_ms: dict[str, float]


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
            step, said = await restarted(parts, name)
            steps.append(step)
            unclean += said
            if kind == "kafka":
                await in_sync(parts)
            await asyncio.sleep(gap)
    return steps, unclean


async def restarted(parts: Parts, name: str) -> tuple[Step, list[str]]:
    """Stop a part with SIGTERM and start it again."""
    part, begin = parts.supervised[name], time.time()
    again = name in parts.orchestrators
    if again:
        parts.orchestrators[name].clear()  # it is started again by what runs it
    await part.stop()
    stopped, code = time.time(), part.child.exit_code
    if again:
        await parts.orchestrators[name].wait()
    else:
        await part.start()
    ended_by_term = (0, 143, -15) if name.startswith("kafka") else (0,)
    said = [] if code in ended_by_term else [f"{name} exited with {code}"]
    return Step(name, begin, stopped - begin, time.time() - stopped), said


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


def inserted(url: str) -> dict[str, float]:
    """Return when ClickHouse began to insert each raw event, and what came of each completion last."""
    columns = [(topic.table, "event_id") for topic in RAW_TOPICS]
    columns.append((EVOLUTION_METRICS.table, "source_event_id"))
    first = " UNION ALL ".join(
        f"SELECT toString({column}) AS id, min(_inserted_at) AS at FROM {table}_rows GROUP BY id"
        for table, column in columns
    )
    statement = f"SELECT id, toFloat64(max(at)) FROM ({first}) GROUP BY id"
    with client(url) as sql:
        return dict(sql.query(statement).result_rows)


def reported(
    steps: Sequence[Step], calls: Iterable[tuple[str, Call]], seen: dict[str, float]
) -> list[StepReport]:
    """Return how late events were, by step; `calls` by event id."""
    known = [(call.at, seen[event_id] - call.at) for event_id, call in calls if event_id in seen]
    found = []
    for number, step in enumerate(steps):
        end = steps[number + 1].begin if number + 1 < len(steps) else float("inf")
        late = sorted(seconds for at, seconds in known if step.begin <= at < end)
        shares = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        found.append(StepReport(step, len(late), {name: quantile(late, share) for name, share in shares}))
    return found
