"""Each extra alone: the command line starts, its worker works, and a command says which extra it lacks."""

from __future__ import annotations

import json
import subprocess
import textwrap
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from evometrics.deploy.commands import COMMANDS
from evometrics.deploy.process.child import ChildProcess, ProcessSpec
from evometrics.deploy.process.ports import free_ports
from evometrics.deploy.process.readiness import answers
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.extras import environment, needed
from tests.support.sinks import run_statements, until_stored

#: Runs the command lines of its arguments as one process.
PROGRAM = """
    import json, sys
    from evometrics.deploy.cli.main import main
    for arguments in json.loads(sys.argv[1]):
        try:
            code = main(arguments)
        except SystemExit as done:
            code = done.code
        print("exit", code, flush=True)
"""
#: What the base package is for: a node that records.
NODE = """
    import asyncio, sys
    from evometrics.producers import EvolutionMetricsCollector

    async def main():
        given = {"brokers": sys.argv[1], "db_path": sys.argv[2], "stop_timeout": 30}
        collector = EvolutionMetricsCollector(given)
        await collector.start()
        async with collector.evolution("alone", strategy="tune", pre_kpis={"accuracy": 0.5}) as run:
            await run.complete(post_kpis={"accuracy": 0.75})
        await collector.stop()
        print(sum(collector.published.values()), collector.outbox_depth)

    asyncio.run(main())
"""
HISTORY = "agent_id,evolution_id,timestamp,success\nalone,e-1,2026-11-01T10:00:00Z,true\n"
Alone = Callable[[str], tuple[list[str], dict[str, str]]]


def test_whatever_is_installed_reads_batches_of_every_codec() -> None:
    """Another program's producer chooses the codec; a batch that can't be read stops a worker permanently."""
    for extra in (frozenset[str](), frozenset({"streams"}), frozenset({"sinks"})):
        assert "cramjam" in needed("evometrics", extra)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    """The environment of each extra."""
    made: dict[str, tuple[list[str], dict[str, str]]] = {}
    groups = {f"EVOMETRICS_{part}_GROUP": f"alone-{uuid.uuid4().hex[:8]}" for part in ("STREAM", "SINK")}

    def of(extra: str) -> tuple[list[str], dict[str, str]]:
        if extra not in made:
            python, variables = environment(tmp_path_factory.mktemp(f"with-{extra or 'none'}"), extra)
            made[extra] = python, variables | groups
        return made[extra]

    return of


def run(alone: Alone, extra: str, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    python, variables = alone(extra)
    command = [*python, "-c", textwrap.dedent(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=variables)


def codes(alone: Alone, extra: str, *command_lines: list[str]) -> tuple[list[str], str]:
    """Return the exit codes of command lines where one extra is installed, and what they said of errors."""
    done = run(alone, extra, PROGRAM, json.dumps(command_lines))
    return [line for line in done.stdout.splitlines() if line.startswith("exit ")], done.stderr


def commands_of(extra: str) -> list[str]:
    return [name for name, command in COMMANDS.items() if command.extra == extra]


@pytest.mark.parametrize(
    ("extra", "there", "missing"),
    [
        ("", {"aiokafka", "fastavro"}, {"faust", "clickhouse_connect", "chdb", "pyarrow", "tqdm"}),
        ("streams", {"faust", "prometheus_client"}, {"clickhouse_connect", "chdb", "pyarrow", "tqdm"}),
        ("sinks", {"clickhouse_connect", "tqdm"}, {"faust", "chdb", "pyarrow"}),
        ("import", {"clickhouse_connect", "pyarrow"}, {"faust", "chdb"}),
    ],
)
def test_an_environment_has_what_its_extra_names_and_no_more(
    alone: Alone, extra: str, there: set[str], missing: set[str]
) -> None:
    program = "import sys, importlib.util as u; print(*(n for n in sys.argv[1:] if u.find_spec(n)))"
    assert set(run(alone, extra, program, *there, *missing).stdout.split()) == there


@pytest.mark.parametrize(
    ("extra", "own"),
    [
        ("", [*commands_of(""), "stream", "sink", "up"]),
        *((extra, commands_of(extra)) for extra in ("streams", "sinks", "import")),
    ],
)
def test_help_is_there_with_each_extra_alone(alone: Alone, extra: str, own: list[str]) -> None:
    asked = [["--help"], *([name, "--help"] for name in own)]
    assert codes(alone, extra, *asked) == (["exit 0"] * len(asked), "")


@pytest.mark.parametrize(
    ("extra", "command", "missing"),
    [
        ("", ["sink"], "evometrics[sinks]"),
        ("", ["stream"], "evometrics[streams]"),
        ("", ["replay", "--help"], "evometrics[sinks]"),
        ("streams", ["sql", "SELECT 1"], "evometrics[sinks]"),
        ("sinks", ["stream"], "evometrics[streams]"),
        ("sinks", ["up"], "evometrics[local]"),
        ("sinks", ["demo"], "evometrics[local]"),
        ("streams", ["import", "history.csv"], "evometrics[import]"),
    ],
)
def test_a_command_says_which_extra_it_lacks(
    alone: Alone, extra: str, command: list[str], missing: str
) -> None:
    found, told = codes(alone, extra, command)
    assert found == ["exit 1"]
    (line,) = told.splitlines()
    assert line.startswith(f"evometrics {command[0]}: needs ")
    assert line.endswith(f", which is not installed: pip install '{missing}'")


def test_the_settings_are_shown_by_the_base_package(alone: Alone) -> None:
    assert codes(alone, "", ["config"]) == (["exit 0"], "")


def test_a_node_records_and_sends_with_the_base_package(alone: Alone, kafka: str, tmp_path: Path) -> None:
    assert codes(alone, "", ["topics", "--brokers", kafka]) == (["exit 0"], "")
    done = run(alone, "", NODE, kafka, str(tmp_path / "outbox.db"))
    sent, left = map(int, done.stdout.split())
    assert sent >= 2 and left == 0, done.stderr


def worker(alone: Alone, extra: str, folder: Path, *arguments: str) -> ChildProcess:
    """Return a worker of an extra, ready once it says so."""
    (port,) = free_ports(1)
    python, variables = alone(extra)
    argv = (*python, "-m", "evometrics.deploy.cli", *arguments, "--http-port", str(port))
    argv += ("--data", str(folder / "data"))
    ready = answers(f"http://127.0.0.1:{port}/health/ready")
    return ChildProcess(ProcessSpec(extra, argv, folder / "log", ready, variables, ready_timeout=120))


async def test_a_stream_worker_works_with_its_extra_alone(alone: Alone, kafka: str, tmp_path: Path) -> None:
    assert codes(alone, "streams", ["topics", "--brokers", kafka]) == (["exit 0"], "")
    child = worker(alone, "streams", tmp_path, "stream", "--brokers", kafka)
    await child.start()
    await child.stop()
    assert child.exit_code == 0, child.log_tail()


async def test_a_sink_stores_with_its_extra_alone_and_an_import_arrives_with_its_own(
    alone: Alone, kafka: str, clickhouse: str, tmp_path: Path
) -> None:
    database = f"alone_{uuid.uuid4().hex[:8]}"
    settings = ClickHouseSettings(url=clickhouse, database=database)
    where = ["--clickhouse-url", clickhouse, "--database", database]
    made = [["topics", "--brokers", kafka], ["migrate", *where]]
    assert codes(alone, "sinks", *made)[0] == ["exit 0"] * 2
    child = worker(alone, "sinks", tmp_path, "sink", "--brokers", kafka, *where)
    await child.start()
    try:
        history = tmp_path / "history.csv"
        history.write_text(HISTORY)
        found, told = codes(alone, "import", ["import", str(history), "--brokers", kafka, *where])
        assert found == ["exit 0"], told
        await until_stored(settings, "evolution_completed", 1)
    finally:
        await child.stop()
        await run_statements(settings, [f"DROP DATABASE IF EXISTS {database}"])
    assert child.exit_code == 0, child.log_tail()
