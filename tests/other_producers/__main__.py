"""The programs of `examples/` that publish from other languages, against the whole pipeline.

    python -m tests.other_producers                 all
    python -m tests.other_producers go              this one
    python -m tests.other_producers --keep DIR      what they need is kept there for the next time

Each publishes an event for several agents to a local stack, with the schema that `evometrics schemas`
prints. For each, one line: the header of its messages is the schema's, the partition is the agent's, no event
had to be moved, and ClickHouse has the evolution as the program states it. What they need comes from Maven
Central and the Go module proxy, through `mvn` and `go`; a program whose tools are missing is skipped, and
named. The exit code is 1 if any failed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka.partitioner import DefaultPartitioner

from tests.clients.outside import Missing, execute, installed
from tests.support.stack import Running, evometrics, running_stack
from tests.support.tables import client

EXAMPLES = Path(__file__).parents[2] / "examples"
PARTITIONS = 6
TOPIC = "evometrics.evolution.completed"
#: Enough for every partition; also a key that is no ASCII.
AGENTS = ["größe", *(f"agent-{number}" for number in range(20))]
STATED = {
    *{"evolution_type": "nightly", "strategy_used": "tune", "status": "succeeded", "success": True}.items(),
    *{"cost_usd": 0.42, "memory_used_mb": None, "cpu_percent_avg": None}.items(),
}


@dataclass(frozen=True)
class Elsewhere:
    """A producer: what prepares its folder, and the command that runs it there, without arguments."""

    files: tuple[str, ...]
    prepare: Callable[[Path], None]
    command: Callable[[Path], list[str | Path]]


def java(folder: Path) -> None:
    if not (folder / "lib").exists():
        installed(["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"], folder)
    installed(["javac", "-cp", "lib/*", "-d", "out", "Publish.java"], folder)


def go(folder: Path) -> None:
    installed(["go", "build", "-o", "publish", "."], folder)


PROGRAMS = {
    "java": Elsewhere(("pom.xml", "Publish.java"), java, lambda _: ["java", "-cp", "lib/*:out", "Publish"]),
    "go": Elsewhere(("go.mod", "go.sum", "publish.go"), go, lambda folder: [folder / "publish"]),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the programs asked for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.other_producers",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROGRAMS))
    parser.add_argument("--keep", type=Path, help="a folder for what they need")
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.names if name not in PROGRAMS]:
        parser.error(f"no program {unknown[0]!r}; there are {', '.join(PROGRAMS)}")
    with tempfile.TemporaryDirectory(prefix="evometrics-producers-") as folder:
        work = (args.keep or Path(folder)).resolve()
        with running_stack(Path(folder) / "data", PARTITIONS) as stack:
            schema = Path(folder) / "evolution_completed.avsc"
            schema.write_text(evometrics("schemas", "evolution_completed").stdout, encoding="utf-8")
            failed = [name for name in args.names or PROGRAMS if not run(name, work / name, stack, schema)]
    return int(bool(failed))


def run(name: str, folder: Path, stack: Running, schema: Path) -> bool:
    """Run one program for every agent; print what came of it, and return whether all is right."""
    program = PROGRAMS[name]
    folder.mkdir(parents=True, exist_ok=True)
    for file in program.files:
        shutil.copy(EXAMPLES / name / file, folder)
    try:
        program.prepare(folder)
        said = [published(program, folder, stack, schema, f"{name}-{agent}") for agent in AGENTS]
    except Missing as reason:
        print(f"{name:5} skipped: {reason}", flush=True)
        return True
    stack.drained()
    wrong = [*(each for each in said if each), *differences(name, stack)]
    print(f"{name:5} {'; '.join(wrong) or f'{len(AGENTS)} evolutions as stated, none moved'}", flush=True)
    return not wrong


def published(program: Elsewhere, folder: Path, stack: Running, schema: Path, agent: str) -> str:
    """Publish one agent's evolution; return what is wrong with it, nothing where all is right."""
    done = execute([*program.command(folder), stack.brokers, schema, agent], folder)
    found = re.search(rf"^{re.escape(TOPIC)} partition (\d+) offset \d+$", done.stdout, re.M)
    if done.returncode or found is None:
        return f"{agent}: exit code {done.returncode}: {(done.stdout + done.stderr).strip()[-400:]}"
    everywhere = list(range(PARTITIONS))
    expected = DefaultPartitioner()(agent.encode(), everywhere, everywhere)
    return "" if int(found[1]) == expected else f"{agent}: partition {found[1]} instead of {expected}"


def differences(name: str, stack: Running) -> Sequence[str]:
    """Return what ClickHouse and the stream's metrics have that is not as the program states it."""
    wrong = []
    database = client(stack.clickhouse_url)
    columns = sorted(column for column, _ in STATED)
    sql = (
        f"SELECT agent_id, {', '.join(columns)}, pre_kpis, post_kpis FROM evolution_completed "
        "WHERE startsWith(agent_id, {prefix:String})"
    )
    rows = database.query(sql, parameters={"prefix": f"{name}-"}).result_rows
    expected = dict(STATED)
    stated = (*(expected[column] for column in columns), {"accuracy": 0.81}, {"accuracy": 0.86})
    if (found := sorted(rows)) != sorted((f"{name}-{agent}", *stated) for agent in AGENTS):
        wrong.append(f"evolution_completed has {len(found)} rows, the first is {found[:1]}")
    sql = (
        "SELECT count(), countIf(abs(kpi_deltas['accuracy'] - 0.05) < 1e-9) FROM evolution_metrics "
        "WHERE startsWith(agent_id, {prefix:String})"
    )
    ((metrics, gains),) = database.query(sql, parameters={"prefix": f"{name}-"}).result_rows
    if (metrics, gains) != (len(AGENTS), len(AGENTS)):
        wrong.append(f"evolution_metrics has {metrics} rows, {gains} of them with the gain")
    sql = "SELECT count() FROM dead_letters"
    if letters := database.query(sql).result_rows[0][0]:
        wrong.append(f"{letters} dead letters")
    moved = sum(n for key, n in stack.metrics().items() if "misplaced" in key)
    return [*wrong, f"{moved:.0f} events moved"] if moved else wrong


if __name__ == "__main__":
    sys.exit(main())
