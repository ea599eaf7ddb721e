"""`compiled`: what an event costs each part's own code, compiled, plain, and in the build before."""

from __future__ import annotations

import subprocess
from typing import Any

from tests.benchmarks.before import ROOT, Build, before, this
from tests.benchmarks.figures import report
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.slices import PARTS

#: The last build whose modules were in Cython alone.
CYTHON_ONLY = "1bb928d"
ROUNDS, QUICK_ROUNDS = 20, 2
PLAIN = str(ROOT / "tests" / "support" / "plain_python")


class Slice:
    """A build's process that works when it is told to. Use it as a context manager."""

    def __init__(self, part: str, build: Build, *first: str) -> None:
        """`first`: folders to import from first."""
        self.process = subprocess.Popen(
            [str(build.python), "-P", str(ROOT / "tests" / "benchmarks" / "slices.py"), part],
            cwd=build.checkout,
            env=build.environment(*first),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Slice:
        self.said()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def microseconds(self) -> float:
        """Have it work once; return the processor time for an event."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.said())

    def said(self) -> str:
        """Return the next line that it prints. Raises `RuntimeError` where it ended."""
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise RuntimeError(f"{self.process.args!r} ended with {self.process.wait()}")
        return line.strip()


async def run(settings: Settings) -> dict[str, Any]:
    """Measure each part, the builds in turn."""
    rounds = settings.rounds or (QUICK_ROUNDS if settings.quick else ROUNDS)
    rows = []
    for part in PARTS:
        with (
            Slice(part, before(CYTHON_ONLY)) as earlier,
            Slice(part, this()) as compiled,
            Slice(part, this(), PLAIN) as plain,
        ):
            found: dict[str, list[float]] = {"before": [], "compiled": [], "plain": []}
            for _ in range(rounds):
                for name, each in zip(found, (earlier, compiled, plain), strict=True):
                    found[name].append(each.microseconds())
        least = {name: min(values) for name, values in found.items()}
        rows.append(
            {
                "part": part,
                **{f"{name}, us": value for name, value in least.items()},
                "compiled to before": least["compiled"] / least["before"],
                "plain to compiled": least["plain"] / least["compiled"],
            }
        )
        say(f"compiled: {rows[-1]}")
    return report(rounds=rounds, parts=rows)
