"""How fast the pipeline is, beside other ways to do the same work, on this machine.

    python -m tests.benchmarks                      all, in about an hour and a half
    python -m tests.benchmarks stream sink          these
    python -m tests.benchmarks --before 2f78a0c sink
                                                    one beside the same of an earlier build, see `before`
    python -m tests.benchmarks --quick              sizes that show that everything works, not how fast it is

Every contender works on the same events in the same run, and what comes out of each is checked. Results go
to standard output, progress to standard error. A benchmark with a contender that failed, or whose output
was wrong, has an error instead of figures, and the exit code is 1; it is 2 where a peer's library is
missing.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import json
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.before import beside
from tests.benchmarks.settings import Settings
from tests.benchmarks.table import tables

#: The benchmark's module by name.
NAMES = {
    "stream": "stream",
    "sink": "sink",
    "producer": "producer",
    "end-to-end": "end_to_end",
    "growth": "growth",
    "scale-out": "scale_out",
    "replay": "replay",
    "scrape": "scrape",
    "bodies": "bodies",
    "tls": "tls",
    "readers": "readers",
    "views": "views",
    "memory": "memory",
    "recorder": "recorder",
    "pages": "pages",
    "live": "live",
    "fleet": "fleet",
    "compiled": "compiled",
    "idle": "idle",
}
INSTALL = "pip install -c constraints.txt -e '.[dev,benchmarks]'"


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmarks asked for; return the exit code."""
    args = parser().parse_args(arguments)
    if unknown := [name for name in args.names if name not in NAMES]:
        parser().error(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    # its client warns of each try while a topic that was just made has no leader yet
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    modules = {
        name: importlib.import_module(f"tests.benchmarks.{NAMES[name]}") for name in args.names or NAMES
    }
    missing = sorted({lib for module in modules.values() for lib in needed(module)})
    if missing:
        print(f"the peers need {', '.join(missing)}: {INSTALL}", file=sys.stderr)
        return 2
    report: dict[str, Any] = {}
    for name, module in modules.items():
        try:
            asked = settings(args)
            if args.before:
                report[name] = beside(args.before, name, passed_on(args), asked.rounds or 3)
            else:
                report[name] = measure(module, asked)
        except (AssertionError, RuntimeError, TimeoutError) as error:
            # the others are still worth their hours
            print(f"{name}: {error}", file=sys.stderr)
            report[name] = {"error": str(error)}
        else:
            if not args.json:
                print(tables(name, report[name]), flush=True)
    if args.json:
        print(json.dumps(report, indent=2))
    return 1 if any("error" in found for found in report.values()) else 0


def passed_on(args: argparse.Namespace) -> list[str]:
    """Return the arguments that each build's benchmark is called with."""
    known = ("events", "agents", "seed", "seconds", "rate", "folder")
    given = {name: value for name in known if (value := getattr(args, name)) is not None}
    found = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    return [*found, "--quick"] if args.quick else found


def measure(module: Any, asked: Settings) -> dict[str, Any]:
    """Run one benchmark in a folder of its own, and say how busy the machine was."""
    folder = Path(tempfile.mkdtemp(prefix="benchmark-", dir=asked.folder))
    before = os.getloadavg()[0]
    try:
        found: dict[str, Any] = asyncio.run(module.run(asked.inside(folder.name)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {**found, "machine": {"cores": os.cpu_count(), "load_before": round(before, 2)}}


def needed(module: Any) -> list[str]:
    """Return the libraries of a benchmark's peers that are not installed."""
    wanted: dict[str, str] = getattr(module, "NEEDS", {})
    return [library for library in wanted.values() if importlib.util.find_spec(library) is None]


def settings(args: argparse.Namespace) -> Settings:
    """Return what the arguments ask for."""
    args.folder.mkdir(parents=True, exist_ok=True)
    names = ("rounds", "events", "agents", "seed", "seconds", "rate", "milestones", "fleets", "quick")
    return Settings(args.folder.resolve(), **{name: getattr(args, name) for name in names})


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parse = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parse.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    parse.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parse.add_argument("--quick", action="store_true", help="small sizes, one round")
    parse.add_argument("--before", metavar="COMMIT", help="beside the build of an earlier commit, in turn")
    parse.add_argument("--rounds", type=int, help="turns of each contender (default 3)")
    text = "events of a round (default: as the benchmark sees fit)"
    parse.add_argument("--events", "--evolutions", type=int, help=text)
    parse.add_argument("--agents", type=int, default=1000, help="agents (default %(default)s)")
    parse.add_argument("--seed", type=int, default=1, help="of every event (default %(default)s)")
    parse.add_argument("--seconds", type=float, help="end-to-end, fleet: how long load is offered")
    parse.add_argument("--rate", type=float, help="end-to-end, growth: events a second offered at most")
    parse.add_argument("--milestones", type=numbers, help="growth: events (default 1000000,5000000,10000000)")
    parse.add_argument(
        "--fleets", type=numbers, help="growth: agents (default 1000,10000,100000); fleet: nodes"
    )
    folder = Path(tempfile.gettempdir())
    text = (
        "where brokers and databases write; growth needs 40 GB, replay of a million 8 (default %(default)s)"
    )
    parse.add_argument("--folder", type=Path, default=folder, help=text)
    return parse


def numbers(text: str) -> tuple[int, ...]:
    """Read numbers with commas between them."""
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
