"""Any program as one evolution: it runs as it would alone, and what it did is recorded."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionProgressed, EvolutionStarted
from evometrics.schemas.wire.framing import WireFormat
from tests.support.outboxes import NO_BROKER, left_in
from tests.support.terminal import Terminal

RECORD = (sys.executable, "-m", "evometrics.deploy.cli", "record")
PYTHON = sys.executable


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return an environment in which a folder has the history, and no broker is named."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EVOMETRICS_")}
    return clean | {"EVOMETRICS_COLLECTOR_DB_PATH": str(folder / "evolution_metrics.db")} | more


def record(
    folder: Path, *arguments: str | Path, stdin: bytes = b"", **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Run `evometrics record` with flags and a command, to its end."""
    return subprocess.run(
        [*RECORD, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=folder,
        env=environment(folder, **more),
        timeout=60,
        check=False,
    )


@contextmanager
def recording(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `evometrics record` in a session of its own, until its program has written a line."""
    process = subprocess.Popen(
        [*RECORD, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=environment(folder),
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait(60)
        process.stdout.close()
        process.stderr.close()


def events(folder: Path) -> list[Event]:
    """Return the events in a folder's history, in the order in which they were recorded."""
    with closing(sqlite3.connect(folder / "evolution_metrics.db")) as history:
        found = history.execute("SELECT value FROM events ORDER BY rowid").fetchall()
    return [WireFormat().decode(value) for (value,) in found]


def start_and_end(folder: Path) -> tuple[EvolutionStarted, EvolutionCompleted]:
    """Return the one evolution of a folder."""
    (start,) = [each for each in events(folder) if isinstance(each, EvolutionStarted)]
    (end,) = [each for each in events(folder) if isinstance(each, EvolutionCompleted)]
    assert start.evolution_id == end.evolution_id
    return start, end


SAYING = """
import json, os
print("training")
ids = [os.environ[f"EVOMETRICS_{name}_ID"] for name in ("AGENT", "EVOLUTION", "RUN")]
said = {"accuracy": 0.91, "loss": 0.25, "cost_usd": 0.5, "insights": ["warn: noisy"], "tokens_in": 1200}
said |= {"tokens_out": 300, "evaluations": 40, "candidate": "x + 1"}
print(json.dumps(said | {"data": "wine", "nothing": None, "ids": ids}))
print()
"""


def test_a_program_is_one_evolution_with_the_kpis_of_its_last_line(tmp_path: Path) -> None:
    flags = ["--agent-id", "agent-7", "--evolution-id", "e-1", "--run-id", "night-1", "--strategy", "tune"]
    flags += ["--evolution-type", "training", "--generation", "3", "--pre-kpis", '{"accuracy": 0.81}']
    flags += ["--metadata", "dataset=wine", "--metadata", "note=a=b", "--parent", "a-1", "--parent", "a-2"]
    flags += ["--objective", "loss", "--direction", "minimize", "--model", "small"]
    before = time.time()
    done = record(tmp_path, *flags, "--", PYTHON, "-c", SAYING)
    assert (done.returncode, done.stderr) == (0, b"")
    alone = subprocess.run(
        [PYTHON, "-c", SAYING],
        capture_output=True,
        check=True,
        env=environment(
            tmp_path,
            EVOMETRICS_AGENT_ID="agent-7",
            EVOMETRICS_EVOLUTION_ID="e-1",
            EVOMETRICS_RUN_ID="night-1",
        ),
    )
    assert done.stdout == alone.stdout
    start, end = start_and_end(tmp_path)
    assert (start.agent_id, start.evolution_id, start.evolution_type) == ("agent-7", "e-1", "training")
    assert (start.strategy, start.generation, start.pre_kpis) == ("tune", 3, {"accuracy": 0.81})
    assert (end.agent_id, end.status, end.strategy_used, end.generation) == (
        "agent-7",
        "succeeded",
        "tune",
        3,
    )
    assert (end.pre_kpis, end.post_kpis) == ({"accuracy": 0.81}, {"accuracy": 0.91, "loss": 0.25})
    assert (end.cost_usd, end.insights, end.warning_count) == (0.5, ["warn: noisy"], 1)
    assert (end.tokens_in, end.tokens_out, end.evaluations, end.candidate) == (1200, 300, 40, "x + 1")
    assert end.parent_agent_ids == ["a-1", "a-2"]
    for each in (start, end):
        assert (each.run_id, each.model) == ("night-1", "small")
        assert (each.objective, each.direction) == ("loss", "minimize")
    known = {"program": PYTHON, "dataset": "wine", "note": "a=b"}
    assert known.items() <= start.metadata.items()
    assert (known | {"data": "wine", "exit_code": "0"}).items() <= end.metadata.items()
    assert json.loads(end.metadata["ids"]) == ["agent-7", "e-1", "night-1"]
    assert before < start.occurred_at / 1e6 == end.started_at / 1e6 < end.occurred_at / 1e6 < time.time()
    assert end.duration_seconds == pytest.approx((end.occurred_at - end.started_at) / 1e6, abs=0.05)


def test_the_exit_code_is_the_commands_as_a_shell_gives_it(tmp_path: Path) -> None:
    script = tmp_path / "plain"
    script.write_text('exit "$1"\n')  # names no interpreter
    script.chmod(0o755)
    cases: dict[Sequence[str | Path], tuple[int, str]] = {
        (script, "3"): (3, "error: exit code 3"),
        ("sh", "-c", "kill -KILL $$"): (137, "error: ended by SIGKILL"),
        ("no-such-command",): (127, "error: no-such-command: command not found"),
        (tmp_path,): (126, f"error: {tmp_path}: Permission denied"),
    }
    for command, (code, _) in cases.items():
        done = record(tmp_path, "--evolution-id", str(code), "--", *command)
        assert done.returncode == code, done.stderr
    found = {each.evolution_id: each for each in events(tmp_path) if isinstance(each, EvolutionCompleted)}
    for code, reason in cases.values():
        end = found[str(code)]
        assert (end.status, end.insights, end.error_count) == ("failed", [reason], 1)
        assert end.metadata["exit_code"] == str(code)
    assert found["137"].metadata["signal"] == "SIGKILL"


def test_every_byte_passes_through_both_ways(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    done = record(tmp_path, "--", "cat", stdin=data)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == data
    _, end = start_and_end(tmp_path)
    assert (end.agent_id, end.post_kpis) == ("cat", {})


def test_kpis_come_from_the_file_and_never_from_an_earlier_programs(tmp_path: Path) -> None:
    kpis = tmp_path / "kpis.json"
    kpis.write_text('{"accuracy": 0.1}')
    done = record(tmp_path, "--kpis", kpis, "--evolution-id", "left", "--", "true")
    assert done.returncode == 0
    assert b"kpis.json: left by an earlier program" in done.stderr
    write = f"echo '{{\"accuracy\": 0.9}}' > {kpis}; echo '{{\"accuracy\": 0.5}}'; test -t 1 || exit 4"
    done = record(tmp_path, "--kpis", kpis, "--evolution-id", "own", "--", "sh", "-c", write)
    assert (done.returncode, done.stderr) == (4, b"")
    found = {each.evolution_id: each for each in events(tmp_path) if isinstance(each, EvolutionCompleted)}
    assert (found["left"].post_kpis, found["left"].status) == ({}, "succeeded")
    assert (found["own"].post_kpis, found["own"].status) == ({"accuracy": 0.9}, "failed")


def test_on_a_terminal_the_program_has_a_terminal_and_ctrl_c_once(tmp_path: Path) -> None:
    """The kernel sends a typed Ctrl-C to both; the program gets it once."""
    code = (
        "import os, signal, sys, time\n"
        "count = []\n"
        "signal.signal(signal.SIGINT, lambda *_: count.append(1))\n"
        "print(os.isatty(0), os.isatty(1), os.get_terminal_size(1).columns, flush=True)\n"
        "while not count: time.sleep(0.01)\n"
        "time.sleep(0.5)\n"
        "print(f'interrupted {len(count)} time(s)', flush=True)\n"
        "sys.exit(5)\n"
    )
    terminal = Terminal([*RECORD, "--", PYTHON, "-c", code], environment(tmp_path))
    try:
        terminal.until("True True 100\r\n")
        terminal.type("\x03")
        terminal.until("interrupted 1 time(s)\r\n")
        assert terminal.code() == 5
    finally:
        os.close(terminal.fd)
    _, end = start_and_end(tmp_path)
    assert (end.status, end.insights) == ("failed", ["error: exit code 5 after SIGINT"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_recorded(tmp_path: Path, number: signal.Signals) -> None:
    with recording(tmp_path, "--", "sh", "-c", "echo ready; exec sleep 60") as process:
        process.send_signal(number)
        assert process.wait(30) == 128 + number
    _, end = start_and_end(tmp_path)
    assert (end.status, end.insights) == ("failed", [f"error: ended by {number.name}"])
    assert end.metadata["signal"] == number.name


def test_a_recording_that_is_killed_leaves_its_start_open(tmp_path: Path) -> None:
    with recording(tmp_path, "--kpis", "k", "--", "sh", "-c", "echo ready; exec sleep 60") as process:
        deadline = time.monotonic() + 60
        while not begun(tmp_path):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (child,) = children(process.pid)
        process.kill()
        process.wait()
        os.kill(child, signal.SIGTERM)  # it runs on
    (start,) = events(tmp_path)
    assert isinstance(start, EvolutionStarted)


def begun(folder: Path) -> bool:
    """Return whether a folder's history, which may not be there yet, has an event."""
    try:
        return bool(events(folder))
    except sqlite3.OperationalError:
        return False


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def test_recording_that_fails_changes_nothing_for_the_program(tmp_path: Path) -> None:
    command = ("--", "sh", "-c", "echo done; exit 6")
    cases = {
        "db_path": {"EVOMETRICS_COLLECTOR_DB_PATH": "/proc/none/evolution_metrics.db"},
        "EVOMETRICS_KAFKA_BROKER:": {"EVOMETRICS_KAFKA_BROKER": "kafka:9092"},
    }
    for said, variables in cases.items():
        done = record(tmp_path, *command, **variables)
        assert (done.returncode, done.stdout) == (6, b"done\n")
        assert done.stderr.decode().startswith("evometrics record: not recorded: ")
        assert said in done.stderr.decode() and done.stderr.count(b"\n") == 1
    done = record(tmp_path, "--config", "missing.toml", "--pre-kpis", "missing.json", *command)
    assert (done.returncode, done.stdout) == (6, b"done\n")
    assert b"missing.toml" in done.stderr and b"missing.json" in done.stderr


def test_without_its_broker_events_wait_for_the_next_recording(tmp_path: Path) -> None:
    done = record(tmp_path, "--brokers", NO_BROKER, "--", "printenv", "EVOMETRICS_KAFKA_BROKERS")
    assert (done.returncode, done.stdout) == (0, f"{NO_BROKER}\n".encode())
    assert b"wait in the outbox" in done.stderr
    first = {each.event_id for each in left_in(tmp_path)}
    assert len(first) >= 2
    assert record(tmp_path, "--", "true").returncode == 0  # without a broker, all end in the history
    assert left_in(tmp_path) == []
    assert first < {each.event_id for each in events(tmp_path)}


JOINING = """
import asyncio, os
from evometrics.producers import EvolutionMetricsCollector

async def main():
    collector = EvolutionMetricsCollector()
    await collector.start()
    agent, evolution = os.environ["EVOMETRICS_AGENT_ID"], os.environ["EVOMETRICS_EVOLUTION_ID"]
    await collector.record_evolution_progress(agent, 0, 0.5, evolution_id=evolution)
    await collector.stop()

asyncio.run(main())
"""


def test_a_program_that_records_progress_itself_joins_its_evolution(tmp_path: Path) -> None:
    done = record(tmp_path, "--agent-id", "agent-7", "--", PYTHON, "-c", JOINING)
    assert (done.returncode, done.stderr) == (0, b"")
    start, end = start_and_end(tmp_path)
    (progress,) = [each for each in events(tmp_path) if isinstance(each, EvolutionProgressed)]
    assert (progress.agent_id, progress.evolution_id) == ("agent-7", end.evolution_id)
    assert start.evolution_id.startswith("agent-7-")


BURNING = """
import os, subprocess, sys, time
block = b"x" * 250_000_000
short = "import time\\nwhile time.process_time() < 0.02: pass"
for _ in range(10): subprocess.run([sys.executable, "-S", "-c", short])
daemon = "import time\\nwhile time.process_time() < 0.6: pass\\nopen(\\"done\\", \\"w\\")"
daemonise = f"{sys.executable} -S -c '{daemon}' > /dev/null & exit 0"
subprocess.Popen(["sh", "-c", daemonise], start_new_session=True).wait()
while not os.path.exists("done"): time.sleep(0.05)
time.sleep(1)  # until a busy machine has looked at it
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process that daemonises is lost")
def test_resources_are_the_programs_tree_with_short_and_daemonised_processes(tmp_path: Path) -> None:
    done = record(tmp_path, "--", PYTHON, "-S", "-c", BURNING)
    assert (done.returncode, done.stderr) == (0, b"")
    _, end = start_and_end(tmp_path)
    assert 250 < end.memory_used_mb < 330, "the recording's own is not the program's"
    cpu = end.cpu_percent_avg * end.duration_seconds / 100
    assert 0.8 <= cpu < 0.8 + 10 * 0.2 + 0.5


def test_the_kernel_tells_a_short_programs_memory(tmp_path: Path) -> None:
    """It has ended before anything could look at it."""
    done = record(tmp_path, "--", PYTHON, "-S", "-c", "b'x' * 150_000_000")
    assert (done.returncode, done.stderr) == (0, b"")
    _, end = start_and_end(tmp_path)
    assert end.memory_used_mb > 150
    done = record(tmp_path, "--evolution-id", "small", "--", "true")
    (small,) = [
        e for e in events(tmp_path) if isinstance(e, EvolutionCompleted) and e.evolution_id == "small"
    ]
    assert "memory_used_mb" in small.unmeasured or small.memory_used_mb < 20


def test_what_the_program_leaves_behind_may_still_write(tmp_path: Path) -> None:
    """As alone: whoever reads to the end waits for it, and it is not ended by a pipe that nobody reads."""
    late = "(sleep 3; echo late; echo alive >&2) & echo '{\"accuracy\": 1}'"
    begun = time.monotonic()
    done = record(tmp_path, "--", "sh", "-c", late)
    assert done.stdout == b'{"accuracy": 1}\nlate\n'
    assert done.stderr == b"alive\n"
    _, end = start_and_end(tmp_path)
    assert end.post_kpis == {"accuracy": 1.0}
    assert end.duration_seconds < 3 <= time.monotonic() - begun


def test_a_reader_that_goes_ends_the_program_as_it_would_alone(tmp_path: Path) -> None:
    codes = []
    for command in (["yes"], [*RECORD, "--", "yes"]):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, env=environment(tmp_path))
        assert process.stdout is not None
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        codes.append(process.wait(60))
    alone, recorded = codes
    # ended by SIGPIPE, unless this process blocks it, as libraries do that other tests have loaded
    assert recorded == (128 - alone if alone < 0 else alone)
    _, end = start_and_end(tmp_path)
    assert end.status == "failed"
    assert end.metadata.get("signal") == ("SIGPIPE" if alone < 0 else None)


def test_output_that_finds_no_room_is_no_success_of_the_command(tmp_path: Path) -> None:
    said = ["--", "sh", "-c", """echo '{"accuracy": 0.75}'"""]
    with Path("/dev/full").open("wb") as full:
        found = subprocess.run(
            [*RECORD, *said],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=environment(tmp_path),
            timeout=60,
            check=False,
        )
    assert found.returncode == 1
    assert b"the program's output can't be written: [Errno 28]" in found.stderr
    _, end = start_and_end(tmp_path)
    assert (end.status, end.post_kpis) == ("succeeded", {"accuracy": 0.75})


@pytest.mark.parametrize(
    "arguments", [[], ["--"], ["--direction", "up", "--", "true"], ["--generation", "-1"]]
)
def test_what_does_not_name_a_program_runs_none(tmp_path: Path, arguments: list[str]) -> None:
    done = record(tmp_path, *arguments)
    assert done.returncode == 2
    assert b"evometrics record: error: " in done.stderr
