"""Run the frameworks for real, through Kafka, the stream and the sink, and compare what ClickHouse has.

    python -m tests.frameworks                      all, as they are installed
    python -m tests.frameworks gepa openevolve      these
    python -m tests.frameworks --newest             each in its newest version from PyPI

For each framework one line: its own number of candidates, how many ClickHouse has, how many are lost (no
completion, or no row that the stream derived from one), how many doubled, and in how many the scores (to the
bit) or the parents differ. Exit code 1 where anything does.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.frameworks import runs
from tests.frameworks.compared import HEADINGS, compare, line, stored
from tests.frameworks.expected import Expected
from tests.support.stack import Running, running_stack

ROOT = Path(__file__).parents[2]
NAMES = sorted(module.name for module in pkgutil.iter_modules(runs.__path__))
#: Seconds for a run, and for an installation.
LIMIT, INSTALL_LIMIT = 300, 900
WIDTHS = (12, 10, 12, 15, 6, 9, 8, 8)


def main(arguments: list[str] | None = None) -> int:
    """Run the frameworks asked for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.frameworks",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--newest", action="store_true", help="install the newest versions, into a folder")
    parser.add_argument("--verbose", action="store_true", help="everything that the frameworks wrote")
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.names if name not in NAMES]:
        parser.error(f"no framework {unknown[0]!r}; there are {', '.join(NAMES)}")
    with tempfile.TemporaryDirectory(prefix="evometrics-frameworks-") as folder:
        root = Path(folder)
        with running_stack(root / "stack", partitions=2) as stack:
            show(HEADINGS)
            results = [checked(name, stack, root / name, args) for name in args.names or NAMES]
    return int(not all(results))


def checked(name: str, stack: Running, folder: Path, args: argparse.Namespace) -> bool:
    """Run one framework and show its line; return whether nothing differs."""
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    if args.newest:
        environment["PYTHONPATH"] = f"{newest(name, folder / 'packages')}{os.pathsep}{ROOT}"
    command = [sys.executable, "-m", "tests.frameworks.child", name, stack.brokers, str(folder)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    if args.verbose or done.returncode:
        print(done.stderr[-20_000:], file=sys.stderr)
    if done.returncode:
        print(f"{name}: its run failed with exit code {done.returncode}", flush=True)
        return False
    found = json.loads((folder / "expected.json").read_text())
    expected = Expected.of(found)
    stack.drained()
    compared = compare(expected, *stored(stack.clickhouse_url, expected.run_ids))
    show(line(name, found["version"], compared))
    return compared.same


def newest(name: str, target: Path) -> Path:
    """Install a framework's newest version and what it needs into a folder."""
    packages = importlib.import_module(f"tests.frameworks.runs.{name}").PACKAGES
    quietly = ["-q", "--no-warn-conflicts", "--upgrade", "--target", str(target)]
    command = [sys.executable, "-m", "pip", "install", *quietly, *packages]
    subprocess.run(command, check=True, timeout=INSTALL_LIMIT)
    return target


def show(cells: tuple[str, ...]) -> None:
    """Print a line of the table."""
    print(" ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
