"""Earlier builds of this project, to measure beside: from the git history into environments of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

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

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables that a process of this build gets."""
        return {**os.environ, "PYTHONPATH": str(self.checkout), **more}


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
        subprocess.run([*install, "-e", ".[dev]"], cwd=build.checkout, check=True)
        (folder / "made").touch()
    return build
