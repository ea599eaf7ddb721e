"""Running the nearest tests over a changed module, in a process of its own.

Nothing is written: the process imports the changed source in place of the module's file. It is forked from
one that has imported the libraries, but nothing of evometrics, so that a mutant costs about a second.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType

import hypothesis
import pytest

from tests.mutation.changes import Mutant

ROOT = Path(__file__).parents[2]
#: What is imported once, for all mutants.
LIBRARIES = ("aiokafka", "clickhouse_connect", "fastavro", "prometheus_client", "psutil", "pytest_asyncio")
#: Fixtures that start a server: a test that asks for one is left out.
SERVERS = frozenset({"kafka", "kafka_cluster", "clickhouse", "registry_server"})
#: Seconds by the clock in which even a busy machine has run the tests of a module.
PATIENCE = 300


class Changed(SourceFileLoader):
    """The loader, and finder, of the module that is changed."""

    def __init__(self, mutant: Mutant) -> None:
        name = "evometrics." + mutant.file.removesuffix(".py").replace("/", ".")
        super().__init__(name, str(ROOT / mutant.file))
        self.source = mutant.source

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        """Return the changed module's spec, for that module."""
        return spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> CodeType:
        """Return the changed module's code."""
        return compile(self.source, self.path, "exec", dont_inherit=True)


@dataclass(eq=False)
class Nearest:
    """The tests of a module, and a plug-in of pytest: the quickest first, and none that starts a server.

    Attributes:
        files: of the tests, below `tests/`.
        took: seconds that each test took over the code as it is.
        cost: the processor's seconds of all of them.
    """

    files: Sequence[str]
    took: dict[str, float] = field(default_factory=dict)
    cost: float = PATIENCE

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the tests that ask for no server, in that order."""
        items[:] = [item for item in items if SERVERS.isdisjoint(getattr(item, "fixturenames", ()))]
        items.sort(key=lambda item: self.took.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how long a test took."""
        self.took[report.nodeid] = self.took.get(report.nodeid, 0.0) + report.duration

    def measure(self) -> None:
        """Run the tests over the code as it is, and note what they take; end where they fail."""
        reading, writing = os.pipe()
        pid = self.begin(None, writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            self.took = json.loads(pipe.read() or "{}")
        _, status, used = os.wait4(pid, 0)
        if status:
            raise SystemExit(f"without a change these fail, or are none: {' '.join(self.files)}")
        self.cost = used.ru_utime + used.ru_stime

    def begin(self, mutant: Mutant | None, pipe: int | None = None) -> int:
        """Start the tests over a mutant, or the code as it is, in a process; return its id."""
        if pid := os.fork():
            return pid
        seconds = int(3 * self.cost) + 5
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        signal.alarm(PATIENCE)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        if mutant:
            sys.meta_path.insert(0, Changed(mutant))
        options = ["-x", "-q", "-p", "no:cacheprovider"]
        code = pytest.main([*options, *(f"tests/{each}" for each in self.files)], plugins=[self])
        if pipe:
            os.write(pipe, json.dumps(self.took).encode())
        os._exit(int(code))


def prepare() -> None:
    """Import what all runs share, and make Hypothesis do the same each time."""
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name in LIBRARIES:
        importlib.import_module(name)
    quick = hypothesis.settings(
        derandomize=True,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    )
    hypothesis.settings.register_profile("mutation", quick)
    hypothesis.settings.load_profile("mutation")
    assert threading.active_count() == 1, "a fork takes no threads with it"


def results(runs: Iterator[tuple[Mutant, Nearest]], jobs: int) -> Iterator[tuple[Mutant, bool]]:
    """Run mutants with their tests, several at once; yield each and whether it was killed."""
    at_work: dict[int, Mutant] = {}
    while True:
        while len(at_work) < jobs and (run := next(runs, None)):
            mutant, nearest = run
            at_work[nearest.begin(mutant)] = mutant
        if not at_work:
            return
        pid, status = os.wait()
        yield at_work.pop(pid), status != 0
