"""`fleet`: a thousand nodes that record all the time: what they cost each part, and whether all is stored.

Nodes are light: some hundreds of collectors in a process, each with an outbox, a producer and connections of
its own. Each runs one evolution after another. In the end every evolution is compared with what its node
recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import urllib.request
from collections.abc import Mapping
from typing import Any

import psutil

from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_PROGRESSED, EVOLUTION_STARTED
from tests.benchmarks.checks import require
from tests.benchmarks.end_to_end import PARTS, SINK, STREAM, check, drained
from tests.benchmarks.figures import report
from tests.benchmarks.fleet_nodes import REPORTS
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack
from tests.benchmarks.watch import cpu_seconds, resident_mb

NODES, QUICK_NODES = 1000, 40
SECONDS, QUICK_SECONDS = 600.0, 10.0
#: How long an evolution of a node lasts.
EVERY, QUICK_EVERY = 30.0, 2.0
PROCESSES = 4
LOOK_SECONDS = 5.0
LIMIT_SECONDS = 3600.0
REBALANCES = "evometrics_rebalances_total"


async def run(settings: Settings) -> dict[str, Any]:
    """Have the nodes record for a while, and compare what is stored with what they recorded."""
    nodes = settings.fleets[0] if settings.fleets else QUICK_NODES if settings.quick else NODES
    seconds = settings.seconds or (QUICK_SECONDS if settings.quick else SECONDS)
    every = QUICK_EVERY if settings.quick else EVERY
    async with Stack(settings.folder, partitions=12) as stack:
        await stack.worker("stream", STREAM, "stream")
        await stack.worker("sink", SINK, "sink")
        at_rest = looked_at(stack)
        before, assigned = cpu_seconds(stack.pids(*PARTS)), await rebalances(stack)
        most: dict[str, dict[str, float]] = {}
        looking = asyncio.create_task(look(stack, most))
        try:
            told = await asyncio.gather(
                *(part(stack, nodes, number, seconds, every) for number in range(PROCESSES))
            )
        finally:
            looking.cancel()
        took = max(each["began"] + each["seconds"] for each in told) - min(each["began"] for each in told)
        await drained(stack)
        cpu = {part: used - before[part] for part, used in cpu_seconds(stack.pids(*PARTS)).items()}
        again = await rebalances(stack)
        recorded = {name: number for each in told for name, number in each["recorded"].items()}
        total = sum(recorded.values())
        require(not any(each["refused"] for each in told), "events were refused")
        await compare(stack, recorded, total)
    events = total * (REPORTS + 2)
    return report(
        nodes=nodes,
        seconds=took,
        evolutions=total,
        events=events,
        events_per_s=events / took,
        record_p50_ms=max(each["waits"]["p50_ms"] for each in told),
        record_p99_ms=max(each["waits"]["p99_ms"] for each in told),
        rebalances={name: again[name] - number for name, number in assigned.items()},
        parts=[
            {"part": name, "cores": cpu[name] / took, "at rest": at_rest[name], "at most": most.get(name, {})}
            for name in PARTS
        ],
        nodes_cores=sum(each["cores"] for each in told),
        nodes_mb=sum(found["MB"] for name, found in most.items() if name not in PARTS),
    )


async def part(stack: Stack, nodes: int, number: int, seconds: float, every: float) -> dict[str, Any]:
    """Run a share of the nodes in a process."""
    first, end = nodes * number // PROCESSES, nodes * (number + 1) // PROCESSES
    argv = ["-m", "tests.benchmarks.fleet_nodes", "--first", str(first), "--count", str(end - first)]
    argv += ["--brokers", stack.kafka.brokers, "--folder", str(stack.folder)]
    argv += ["--seconds", str(seconds), "--every", str(every)]
    found: dict[str, Any] = await stack.job(f"nodes-{number}", argv, LIMIT_SECONDS)
    return found


def looked_at(stack: Stack) -> dict[str, dict[str, float]]:
    """Return memory, connections and threads of each process."""
    pids = stack.pids()
    memory = resident_mb(pids)
    found: dict[str, dict[str, float]] = {}
    for name, pid in pids.items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            connections = sum(
                each.status == psutil.CONN_ESTABLISHED for each in process.net_connections("tcp")
            )
            found[name] = {"MB": memory[name], "connections": connections, "threads": process.num_threads()}
    return found


async def look(stack: Stack, most: dict[str, dict[str, float]]) -> None:
    """Note the most of it, until cancelled."""
    while True:
        for name, found in (await asyncio.to_thread(looked_at, stack)).items():
            known = most.setdefault(name, dict(found))
            known.update({what: max(number, known[what]) for what, number in found.items()})
        await asyncio.sleep(LOOK_SECONDS)


async def rebalances(stack: Stack) -> Mapping[str, int]:
    """Return how often each worker's group gave it partitions."""
    found = {}
    for name, url in stack.ready_urls.items():
        lines = await asyncio.to_thread(lines_of, url.replace("/health/ready", "/metrics"))
        found[name] = sum(int(float(line.split()[-1])) for line in lines if line.startswith(REBALANCES))
    return found


def lines_of(url: str) -> list[str]:
    """Return the lines that a worker's metrics are."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        text: bytes = answer.read()
        return text.decode().splitlines()


async def compare(stack: Stack, recorded: Mapping[str, int], total: int) -> None:
    """Check that each evolution is stored once, and all that was recorded of it. Raises `WorkNotDone`."""
    say(f"fleet: {total:,} evolutions of {len(recorded):,} nodes are compared")
    await check(stack, "fleet", total)
    stored = await stack.sql(
        f"SELECT node_id, count() FROM {EVOLUTION_COMPLETED.table}_rows GROUP BY node_id"
    )
    found = {node: int(count) for node, count in stored}
    wanted = {node: count for node, count in recorded.items() if count}
    differing = sorted(set(found.items()) ^ set(wanted.items()))
    require(not differing, f"stored by node, or recorded, but not both: {differing[:6]}")
    for topic, each in ((EVOLUTION_STARTED, 1), (EVOLUTION_PROGRESSED, REPORTS)):
        columns = "count(), uniqExact(event_id), uniqExact(evolution_id)"
        (rows,) = await stack.sql(f"SELECT {columns} FROM {topic.table}_rows")
        right = [str(total * each), str(total * each), str(total)]
        require(rows == right, f"{rows} rows, ids, evolutions in {topic.table}, not {right}")
