"""Producers of v1 and v2 at once, with a registry, and a sink that was started on v1.

    python -m tests.faults.mixed --seconds 60

The sink's build knows v1 alone and its database is of before v2; a second sink of the same group, of this
build, joins with the newer producers. Checked: every event is stored once, the new columns hold what was
given, and null elsewhere; no dead letters. Exit code 1 where that is not so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.kafka.broker import bootstrap, plan_nodes, prepare_node
from evometrics.deploy.pipeline.topics import create_topics
from evometrics.deploy.process.child import ChildProcess, ProcessSpec
from evometrics.deploy.process.ports import HOST, free_ports
from evometrics.deploy.process.readiness import answers
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.sinks.migrations.migrate import migrate
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.registry.server import RegistryServer
from tests.support.sinks import Kafka, eventually, rows

ROOT = Path(__file__).parents[2]
#: The last migration before EvolutionCompleted v2.
BEFORE_V2 = 8
TABLES = ("evolution_started", "evolution_progressed", "evolution_completed")
DRAIN_SECONDS = 90


@dataclass(frozen=True)
class Mixed:
    """What to run.

    Attributes:
        seconds: how long the nodes record.
        nodes: nodes of each version.
        rate: evolutions a second of each node; three events each.
    """

    seconds: float = 60.0
    nodes: int = 2
    rate: float = 60.0


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        recorded: events by version.
        stored: rows in the storage tables.
        filled: completions with a parent, and with a cost.
        wrong: what is not as it should be, in words.
    """

    recorded: dict[int, int]
    stored: int
    filled: tuple[int, int]
    wrong: list[str]


async def mixed(plan: Mixed, kafka: KafkaSettings, clickhouse_url: str, folder: Path) -> Outcome:
    """Run it on servers that are there, in a database of its own; the topics must be there."""
    database = ClickHouseSettings(url=clickhouse_url, database=f"mixed_{uuid.uuid4().hex[:12]}")
    await migrate(database, to=BEFORE_V2)
    broker = Kafka(kafka)
    await broker.start_group_at_end()
    run = uuid.uuid4().hex[:6]
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(sink("older", broker, database, folder))
        older = [await node(plan, kafka, folder, f"{run}-v1-{n}", 1) for n in range(plan.nodes)]
        column = f"SELECT count() FROM system.columns WHERE database = '{database.database}' "
        column += "AND table = 'evolution_completed' AND name = 'cost_usd'"
        await until_some(database, "SELECT count() FROM evolution_completed")
        assert await rows(database, column) == [(0,)], "the sink was not started on v1"
        newer = [await node(plan, kafka, folder, f"{run}-v2-{n}", 2) for n in range(plan.nodes)]
        await until_some(database, column)  # which nobody but the older sink can have added
        await stack.enter_async_context(sink("current", broker, database, folder))
        for name, process in [*older, *newer]:
            assert await process.wait() == 0, (folder / f"{name}.log").read_text()
        journals = {
            version: [json.loads((folder / f"{name}.json").read_text()) for name, _ in nodes]
            for version, nodes in ((1, older), (2, newer))
        }
        outcome = await compare(database, journals)
    letters = await rows(database, "SELECT reason FROM dead_letters LIMIT 3")
    if letters:
        outcome.wrong.append(f"dead letters: {letters}")
    return outcome


async def until_some(database: ClickHouseSettings, sql: str) -> None:
    """Wait until a query counts something."""

    async def some() -> bool:
        return bool((await rows(database, sql))[0][0])

    await eventually(some, sql)


async def compare(database: ClickHouseSettings, journals: dict[int, list[dict[str, Any]]]) -> Outcome:
    """Wait until the sinks have stored what was recorded, and hold it against the journals."""
    every = [journal for some in journals.values() for journal in some]
    wrong: list[str] = []
    stored = 0
    for table in TABLES:
        wanted = [event_id for journal in every for event_id in journal["ids"][table]]
        found: list[str] = []
        for _ in range(DRAIN_SECONDS * 5):
            found = [i for (i,) in await rows(database, f"SELECT toString(event_id) FROM {table}_rows")]
            if len(found) >= len(wanted):
                break
            await asyncio.sleep(0.2)
        stored += len(found)
        if sorted(found) != sorted(wanted):
            wrong.append(f"{table}: {len(wanted)} recorded, {len(found)} stored, of {len(set(found))} events")
    given = {i: tuple(fields) for journal in every for i, fields in journal["given"].items()}
    sql = "SELECT toString(event_id), parent_agent_id, cost_usd FROM evolution_completed"
    shown = {i: (parent, cost) for i, parent, cost in await rows(database, sql)}
    differing = [i for i in given if shown.get(i) != given[i]]
    if differing or shown.keys() != given.keys():
        wrong.append(f"{len(differing)} completions differ in the new columns: {differing[:3]}")
    filled = [sum(fields[n] is not None for fields in shown.values()) for n in (0, 1)]
    recorded = {v: sum(len(ids) for j in some for ids in j["ids"].values()) for v, some in journals.items()}
    return Outcome(recorded, stored, (filled[0], filled[1]), wrong)


async def node(
    plan: Mixed, kafka: KafkaSettings, folder: Path, name: str, version: int
) -> tuple[str, asyncio.subprocess.Process]:
    """Start a node."""
    run = ["tests.faults.older", "tests.faults.mixed_node"] if version == 1 else ["tests.faults.mixed_node"]
    about = [
        name,
        str(version),
        str(folder),
        kafka.brokers,
        kafka.registry_url,
        str(plan.seconds),
        str(plan.rate),
    ]
    with (folder / f"{name}.log").open("w") as log:
        command = [sys.executable, "-m", *run, *about]
        return name, await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=log, stderr=log)


@contextlib.asynccontextmanager
async def sink(name: str, broker: Kafka, database: ClickHouseSettings, folder: Path) -> AsyncIterator[None]:
    """A sink in a process of its own, of a build that knows v1 alone (`older`) or of this one."""
    (port,) = free_ports(1)
    run = ["tests.faults.older", "evometrics.deploy.cli"] if name == "older" else ["evometrics.deploy.cli"]
    argv = [
        sys.executable,
        "-m",
        *run,
        "sink",
        "--brokers",
        broker.settings.brokers,
        "--http-port",
        str(port),
    ]
    argv += ["--registry-url", broker.settings.registry_url, "--clickhouse-url", database.url]
    argv += ["--database", database.database]
    env = {"EVOMETRICS_SINK_GROUP": broker.sink.group, "PYTHONPATH": str(ROOT)}
    ready = answers(f"http://{HOST}:{port}/health/ready")
    child = ChildProcess(ProcessSpec(f"sink-{name}", tuple(argv), folder / f"{name}.log", ready, env))
    await child.start()
    try:
        yield
    finally:
        await child.stop()


async def on_own_servers(plan: Mixed, folder: Path) -> Outcome:
    """Run it on a broker, a ClickHouse and a registry that are started for it."""
    (port,) = free_ports(1)
    nodes = plan_nodes(folder / "kafka")
    children = [
        ChildProcess(await prepare_node(nodes[0], nodes, folder, print)),
        ChildProcess(clickhouse_process(folder / "clickhouse", port, folder / "clickhouse.log")),
    ]
    registry = RegistryServer(folder)
    try:
        await asyncio.gather(*(child.start() for child in children), registry.start())
        kafka = KafkaSettings(brokers=bootstrap(nodes), registry_url=registry.url)
        await create_topics(kafka)
        return await mixed(plan, kafka, f"http://{HOST}:{port}", folder)
    finally:
        await asyncio.gather(*(child.stop() for child in children), registry.stop())


def main() -> int:
    """Run it and print what came of it."""
    parse = argparse.ArgumentParser(prog="python -m tests.faults.mixed", description=__doc__)
    parse.add_argument("--seconds", type=float, default=60.0, help="how long the nodes record (default 60)")
    parse.add_argument("--nodes", type=int, default=2, help="nodes of each version (default 2)")
    parse.add_argument("--rate", type=float, default=60.0, help="evolutions a second of a node (default 60)")
    args = parse.parse_args()
    with tempfile.TemporaryDirectory(prefix="evometrics-mixed-") as folder:
        outcome = asyncio.run(on_own_servers(Mixed(args.seconds, args.nodes, args.rate), Path(folder)))
    parent, cost = outcome.filled
    print(
        f"recorded by v1 {outcome.recorded[1]}, by v2 {outcome.recorded[2]}; stored {outcome.stored}; "
        f"with a parent {parent}, with a cost {cost}"
    )
    for line in outcome.wrong:
        print(line)
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
