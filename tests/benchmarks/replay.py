"""`replay`: derived tables recomputed from the raw tables and from Kafka, and whether they are equal.

Then once more from the raw tables, killed ten times at random moments of the computing: what it repeats.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from random import Random
from typing import Any

from evometrics.deploy.pipeline.drain import drain, pipeline_groups
from evometrics.schemas.topics import DERIVED_TOPICS, EVOLUTION_COMPLETED, EVOLUTION_METRICS, KPI_DELTAS
from tests.benchmarks.checks import Expected, check_rates, rates_of, require
from tests.benchmarks.end_to_end import merged
from tests.benchmarks.events import Events
from tests.benchmarks.figures import report
from tests.benchmarks.fill import StreamFill, fill_snapshots, fill_stream, filling
from tests.benchmarks.growth import SINK, STREAM, workers
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import ROOT, Stack
from tests.benchmarks.times import begin_of
from tests.benchmarks.watch import cpu_seconds, resident_mb

SOURCES = ("tables", "kafka")
SERVERS = ("kafka", "clickhouse")
LIMIT_SECONDS = 2 * 3600
LOOK_SECONDS = 0.2
KILLS = 10
#: How the bar shows the events done, and all.
BAR = re.compile(r"(\d+)/(\d+) \[")


async def run(settings: Settings) -> dict[str, Any]:
    """Fill a stack, wait until every table has all and is merged, then replay from each source in turn."""
    count, rounds = settings.sized(events=200_000, quick_events=5000, rounds=1)
    events = Events(settings.seed, settings.agents, begin_of(count))
    async with Stack(settings.folder) as stack:
        await workers(stack)
        async with filling(stack.kafka) as filler:
            fill = await fill_stream(filler, events, count)
            snapshots = await fill_snapshots(filler, events, count)
        say(f"replay: {count:,} evolutions and {snapshots:,} snapshots are in Kafka")
        await drain(stack.kafka, pipeline_groups(STREAM, SINK), LIMIT_SECONDS)
        rows = await stored(stack, events, fill, snapshots)
        say(f"replay: every table has all: {rows}")
        await merged(stack)
        found = [
            {"round": number, **await replayed(stack, source, rows)}
            for number in range(1, rounds + 1)
            for source in SOURCES
        ]
        killed = await killed_at_random(stack, rows, Random(settings.seed))
    facts = {"evolutions": count, "agents": settings.agents, "partitions": stack.partitions}
    return report(**facts, live_rows=rows, replays=found, killed=killed)


async def stored(stack: Stack, events: Events, fill: StreamFill, snapshots: int) -> dict[str, int]:
    """Check that the pipeline stored what it must; return the rows by derived table."""
    for table, wanted in (
        (EVOLUTION_COMPLETED.table, fill.completed),
        (EVOLUTION_METRICS.table, fill.metrics),
        (KPI_DELTAS.table, snapshots),
    ):
        number = await stack.number(f"SELECT count() FROM {table}")
        require(number == wanted, f"{number} rows in {table}, not {wanted}")
    expected = Expected(events, fill.completed)
    check_rates(await rates_of(stack.kafka, expected), expected)
    return {t.table: await stack.number(f"SELECT count() FROM {t.table}") for t in DERIVED_TOPICS}


async def replayed(stack: Stack, source: str, rows: dict[str, int]) -> dict[str, Any]:
    """Replay from a source as people do; check that all is equal, and return what it took.

    Equal is what has the same hash over all columns, row by row; and each table has all its rows.
    """
    argv = [*command(stack), "--json", "--source", source]
    before, began = cpu_seconds(stack.pids(*SERVERS)), time.monotonic()
    name = f"replay-{source}"
    watching = asyncio.create_task(memory(stack, name))
    answer = await stack.job(name, argv, LIMIT_SECONDS)
    seconds = time.monotonic() - began
    servers = {part: used - before[part] for part, used in cpu_seconds(stack.pids(*SERVERS)).items()}
    watching.cancel()
    check(answer, rows, source)
    computed = answer["computed"]
    number = computed["events"]
    measured = {
        "source": source,
        "events": number,
        "events_per_s": number / computed["seconds"],
        "cpu_us": {
            "computing": computed["cpu_seconds"] / number * 1e6,
            **{part: used / number * 1e6 for part, used in servers.items()},
        },
        "memory_mb": await watching,
        "whole_seconds": seconds,
    }
    say(f"replay: {measured}")
    return measured


def command(stack: Stack) -> list[str]:
    """Return the command as Python's arguments."""
    argv = ["-m", "evometrics.deploy.cli", "replay"]
    return [*argv, "--brokers", stack.kafka.brokers, "--clickhouse-url", stack.clickhouse.url]


def check(answer: dict[str, Any], rows: dict[str, int], what: str) -> None:
    """Check that a replay has found every table equal, with all its rows."""
    for table, wanted in rows.items():
        found = answer["tables"][table]
        require(not any(found["counts"].values()), f"{table} differs from {what}: {found['counts']}")
        numbers = (found["live"], found["replayed"])
        require(numbers == (wanted, wanted), f"{table}: {numbers} rows live and replayed, not {wanted}")


async def killed_at_random(stack: Stack, rows: dict[str, int], rng: Random) -> dict[str, Any]:
    """Replay the raw tables, killed `KILLS` times; check that all is equal, and return what was repeated."""
    computed, begins = 0, []
    for kill in range(KILLS):
        # the later ones are the nearer to the end, so that all of it is killed somewhere
        share = (kill + rng.random()) / KILLS
        began, reached = await asyncio.to_thread(killed, command(stack), share)
        begins.append(began)
        computed += reached - began
    answer = await stack.job("replay-resumed", [*command(stack), "--json"], LIMIT_SECONDS)
    check(answer, rows, f"a replay killed {KILLS} times")
    events, resumed = answer["computed"]["events"], answer["computed"]["resumed"]
    computed += events - resumed
    found = {
        "kills": KILLS,
        "went_on_after": [*begins, resumed],
        "events": events,
        "computed": computed,
        "repeated": computed / events - 1,
    }
    say(f"replay: {found}")
    return found


def killed(argv: Sequence[str], share: float) -> tuple[int, int]:
    """Replay in a terminal until its bar has passed a share of the events, and kill it there.

    Returns where the bar began, and where it was last seen.
    """
    mine, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))  # in one without a size there is no bar
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, *argv], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    began, reached, text = -1, 0, ""
    try:
        with contextlib.suppress(OSError):  # how a terminal ends
            while chunk := os.read(mine, 65_536):
                text = (text + chunk.decode(errors="replace"))[-4096:]
                for done, total in BAR.findall(text)[-1:]:
                    reached = int(done)
                    began = reached if began < 0 else began
                    if reached >= share * int(total):
                        process.kill()
    finally:
        process.kill()
        process.wait()
        os.close(mine)
    require(process.returncode == -signal.SIGKILL, f"not killed: {text}")
    return began, reached


async def memory(stack: Stack, name: str, most: float = 0.0) -> float:
    """Look at a process's memory until cancelled; return the most, MB."""
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            most = max(most, *resident_mb(stack.pids(name)).values(), 0.0)
            await asyncio.sleep(LOOK_SECONDS)
    return most
