"""What a command says where it fails: one line with the way out, or the traceback of a fault of ours."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError

from evometrics.deploy import terminal
from evometrics.deploy.cli.main import main
from evometrics.deploy.commands import topics
from evometrics.schemas.wire.registry import RegistryUnavailable
from evometrics.sinks.republish.progress import OtherEvents


def failing(error: Exception) -> Callable[[argparse.Namespace], object]:
    async def run(_: argparse.Namespace) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    "error",
    [
        RegistryUnavailable("the registry is away: start it"),
        OtherEvents("the topic holds others: name another"),
        PermissionError(13, "Permission denied", "/srv/x"),
        KafkaConnectionError("nobody answers"),
    ],
)
def test_what_a_person_can_put_right_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(topics, "run", failing(error))
    assert main(["topics"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("evometrics topics: ") and told.count("\n") == 1
    assert main(["topics", "--traceback"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("Traceback") and "in run" in told


@pytest.mark.parametrize(
    "error", [ValueError("not enough values"), KeyError("x"), RuntimeError("?"), OSError("made up")]
)
def test_a_fault_of_the_program_keeps_its_traceback(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(topics, "run", failing(error))
    assert main(["topics"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("Traceback") and "in run" in told
    assert told.splitlines()[-1].startswith(f"evometrics topics: {type(error).__name__}")


def test_sigterm_ends_a_command_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned = []

    async def run(_: argparse.Namespace) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
        finally:
            cleaned.append(True)
        return 0

    monkeypatch.setattr(topics, "run", run)
    assert main(["topics"]) == 143
    assert cleaned == [True]


def test_output_that_nobody_reads_any_more_ends_a_command_quietly() -> None:
    program = "import sys\nfrom evometrics.deploy.cli.main import main\nsys.exit(main(['config']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_pipe_that_breaks_elsewhere_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(topics, "run", failing(BrokenPipeError(32, "Broken pipe")))
    assert main(["topics"]) == 1
    assert "Broken pipe" in capsys.readouterr().err


def test_a_step_that_can_be_told_to_nobody_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stderr", closed)
        terminal.tell("kafka is ready again")
        assert terminal.reader_gone()
        terminal.hush()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["sql", "SELECT 1", "--clickhouse-url", "http://me:s3cret@127.0.0.1:1"], "***@127.0.0.1:1"),
        (["topics", "--brokers", "me:s3cret@127.0.0.1:1"], "***@127.0.0.1:1"),
        (["topics", "--registry-url", "http://me:s3cret@127.0.0.1:1"], "***@127.0.0.1:1"),
        (["up", "--clickhouse-url", "http://me:s3cret@127.0.0.1:1"], "***@127.0.0.1:1"),
        (["checksums", "http://me:s3cret@127.0.0.1:1"], "***@127.0.0.1:1"),
        (["stream", "--http-port", "70000"], "'70000' is not a port, a number from 1 to 65535"),
        (["sink", "--http-port", "0"], "'0' is not a port"),
        (["orchestrate", "--node-id", "n", "--http-port", "http"], "'http' is not a port"),
        (["migrate", "--clickhouse-url", "http://h:8123/base"], "leave out what follows the port"),
        (["migrate", "--clickhouse-url", "http://h:99999"], "give a URL like"),
        (["up", "--brokers", "host"], "each broker is host:port"),
        (
            ["up", "--local-brokers", "3", "--brokers", "h:9092"],
            "none is started here besides the one at",
        ),
    ],
)
def test_an_address_is_checked_and_its_password_never_shown(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([*arguments, "--data", str(tmp_path)])
    except SystemExit as ended:
        code = int(str(ended.code))
    assert code == 2
    told = capsys.readouterr().err
    assert named in told
    assert "s3cret" not in told


def test_the_version_is_that_of_the_package_and_says_which_build_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from importlib.metadata import version

    from evometrics.schemas.service.compiled import build

    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"evometrics {version('evometrics')} ({build()})\n"


def test_help_loads_no_command_and_no_client() -> None:
    program = """if True:
        import sys
        from evometrics.deploy.cli.main import main
        try:
            main(["--help"])
        except SystemExit:
            heavy = ("aiokafka", "asyncio", "evometrics.")
            print(sorted(name for name in sys.modules if name.startswith(heavy)))
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1]
    ours = ["deploy", "deploy.cli", "deploy.cli.main", "deploy.commands"]
    assert loaded == str([f"evometrics.{name}" for name in ours])


def test_a_shell_completes_commands_and_their_flags(tmp_path: Path) -> None:
    def completed(line: str) -> list[str]:
        out = tmp_path / "completions"
        asked = {
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_IFS": "\n",
        }
        program = [sys.executable, "-m", "evometrics.deploy.cli"]
        environ = {**os.environ, **asked, "_ARGCOMPLETE_STDOUT_FILENAME": str(out)}
        subprocess.run(program, env=environ, check=True, timeout=60)
        return [word.strip() for word in out.read_text().splitlines()]

    assert completed("evometrics re") == ["record", "retention", "republish", "replay", "report"]
    assert completed("evometrics up --local") == ["--local-brokers"]
    assert completed("evometrics dead-letters sh") == ["show"]


def test_the_script_for_a_shell_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    assert "evometrics" in capsys.readouterr().out
