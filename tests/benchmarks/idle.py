"""`idle`: what a stack takes before anything is recorded: seconds until it is ready, and memory.

Beside the build of `BEFORE`, in turn. Each starts in an empty folder, then once more in the same one; Kafka's
jars are there. Memory is resident, of a part's process and its children, and counts a page that two of them
share twice.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.before import Build, before, medians, this
from tests.benchmarks.figures import report
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings

#: The build that this one is compared with.
BEFORE = "2f78a0c"
ROUNDS = 3
#: How long a stack rests before its memory is read.
REST_SECONDS, QUICK_REST_SECONDS = 20.0, 2.0
END_SECONDS = 60.0
#: Starts of a command, of which the quickest counts.
TRIES = 5
MB = 1e6
CLI = ("-P", "-m", "evometrics.deploy.cli")


async def run(settings: Settings) -> dict[str, Any]:
    """Start each build's stack and its command in turn."""
    builds = {"before": before(BEFORE), "now": this()}
    rest = QUICK_REST_SECONDS if settings.quick else REST_SECONDS
    found: dict[str, list[dict[str, float]]] = {name: [] for name in builds}
    for number in range(1, (1 if settings.quick else settings.rounds or ROUNDS) + 1):
        for name, build in builds.items():
            folder = settings.folder / f"{name}-{number}"
            folder.mkdir(parents=True)
            figures = await asyncio.to_thread(one, build, folder, rest)
            found[name].append(figures)
            say(f"idle, round {number}: {name} {figures}")
    # a build may lack a part
    parts = {part: 0.0 for runs in found.values() for figures in runs for part in figures}
    every = {name: [parts | figures for figures in runs] for name, runs in found.items()}
    return report(commit=BEFORE, figures=medians(every))


def one(build: Build, folder: Path, rest: float) -> dict[str, float]:
    """Return the figures of a build: seconds, and MB by part."""
    first, _ = started(build, folder, 0.0)
    again, memory = started(build, folder, rest)
    found = {"seconds to ready, first": first, "seconds to ready, again": again}
    found |= {f"MB {part}": size for part, size in memory.items()} | {"MB together": sum(memory.values())}
    return found | {"seconds --help": min(help_seconds(build) for _ in range(TRIES))}


def started(build: Build, folder: Path, rest: float) -> tuple[float, dict[str, float]]:
    """Start a stack, let it rest and end it; return the seconds until it was ready, and its memory by part.

    Raises `RuntimeError` where it does not start.
    """
    began = time.monotonic()
    command = [str(build.python), *CLI, "up", "--json", "--data", str(folder)]
    stack = subprocess.Popen(
        command, cwd=folder, env=build.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert stack.stdout is not None
        line = stack.stdout.readline()  # it ends by itself where it does not become ready
        seconds = time.monotonic() - began
        if not line:
            raise RuntimeError(f"{' '.join(command)} ended with {stack.wait(END_SECONDS)}")
        time.sleep(rest)
        parts = json.loads((folder / "stack.json").read_text())["parts"]
        memory = {name: resident(mark["pid"]) for name, mark in parts.items()}
        return seconds, {"up": resident(stack.pid, alone=True), **memory}
    finally:
        stack.send_signal(signal.SIGINT)
        stack.wait(END_SECONDS)


def resident(pid: int, *, alone: bool = False) -> float:
    """Return the resident memory of a process and its children, or of it alone, MB."""
    process = psutil.Process(pid)
    family = [process] if alone else [process, *process.children(recursive=True)]
    return sum(each.memory_info().rss for each in family) / MB


def help_seconds(build: Build) -> float:
    """Return the seconds that a command takes which does nothing but say what there is."""
    began = time.monotonic()
    command = [str(build.python), *CLI, "--help"]
    subprocess.run(command, env=build.environment(), check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began
