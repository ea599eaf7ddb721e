"""Earlier builds of this project, to measure beside: from the git history into environments of their own.

    python -m tests.benchmarks --before 2f78a0c stream sink

Each build runs its own benchmark of the name, round by round in turn, on the same events. What both tell is
compared: medians over the rounds, and how many times as much this build's is.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import report
from tests.benchmarks.say import say

ROOT = Path(__file__).parents[2]
#: Environments are kept here: one takes minutes to make. Not part of a checkout.
KEPT = ROOT / "build" / "before"


@dataclass(frozen=True, slots=True)
class Build:
    """A build that can be measured.

    Attributes:
        python: the Python that has it installed.
        checkout: what it was built from.
    """

    python: Path
    checkout: Path

    def environment(self, *first: str) -> dict[str, str]:
        """Return the variables that a process of this build gets; `first`: folders to import from first."""
        return {**os.environ, "PYTHONPATH": ":".join((*first, str(self.checkout)))}


def this() -> Build:
    """Return the build that is installed here."""
    return Build(Path(sys.executable), ROOT)


def before(commit: str) -> Build:
    """Return the build of a commit, made where that was not done before. Raises `CalledProcessError`."""
    folder = KEPT / commit
    build = Build(folder / "environment" / "bin" / "python", folder / "checkout")
    if not (folder / "made").exists():
        say(f"before: {commit} is built, which takes minutes")
        shutil.rmtree(folder, ignore_errors=True)
        build.checkout.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", str(build.checkout)], input=archive.stdout, check=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder / "environment")], check=True)
        install = [str(build.python), "-m", "pip", "install", "-q", "--no-compile", "-c", "constraints.txt"]
        subprocess.run([*install, "-e", ".[dev,benchmarks]"], cwd=build.checkout, check=True)
        (folder / "made").touch()
    return build


def beside(commit: str, name: str, arguments: Sequence[str], rounds: int) -> dict[str, Any]:
    """Run a benchmark of this build and of a commit's in turn; return the figures of both.

    `arguments`: what the benchmark is called with besides its name. Raises `RuntimeError` where a run failed.
    """
    builds = {"before": before(commit), "now": this()}
    told: dict[str, list[dict[str, float]]] = {each: [] for each in builds}
    for number in range(1, rounds + 1):
        for each, build in builds.items():
            told[each].append(dict(figures(one_round(build, name, arguments))))
            say(f"{name}, round {number}: {each} is done")
    return report(rounds=rounds, commit=commit, figures=medians(told))


def medians(told: Mapping[str, Sequence[Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Return what `before` and `now` have told, a row for each figure that all rounds have."""
    rows = []
    for figure in told["now"][0]:
        if all(figure in found for runs in told.values() for found in runs):
            was, now = (statistics.median(run[figure] for run in told[each]) for each in ("before", "now"))
            rows.append({"figure": figure, "before": was, "now": now, "times": now / was if was else None})
    return rows


def one_round(build: Build, name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run one round of a build's own benchmark. Raises `RuntimeError`."""
    command = [str(build.python), "-m", "tests.benchmarks", name, "--json", "--rounds", "1", *arguments]
    done = subprocess.run(
        command, cwd=build.checkout, env=build.environment(), stdout=subprocess.PIPE, check=False
    )
    found: dict[str, Any] = json.loads(done.stdout or "{}").get(name, {})
    if done.returncode or not found or "error" in found:
        raise RuntimeError(f"{name} of {build.checkout} ended with {done.returncode}: {found.get('error')}")
    return found


def figures(found: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield each number of a report with where it stands; rows of a list by their first text or number."""
    if isinstance(found, bool):
        return
    if isinstance(found, int | float):
        yield path, float(found)
    elif isinstance(found, dict):
        for key, value in found.items():
            if key not in ("machine", "rounds", "min", "max"):
                yield from figures(value, f"{path} {key}".strip())
    elif isinstance(found, list):
        for number, value in enumerate(found):
            texts = [x for x in value.values() if isinstance(x, str)] if isinstance(value, dict) else []
            yield from figures(value, f"{path} {texts[0] if texts else number}".strip())
