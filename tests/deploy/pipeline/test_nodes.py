"""Orchestrator processes: their output read as it comes, and none that outlives its command."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil
import pytest

from evometrics.deploy.pipeline import nodes
from evometrics.deploy.pipeline.nodes import NodeFailed, NodePlan, run_node, run_nodes
from evometrics.schemas.service.http import HttpSettings
from evometrics.schemas.service.settings import KafkaSettings
from tests.support.ended import still_at_work

PLAN = NodePlan("node-1", agents=1, evolutions=2, seed=0)
SAYS = "import json, os, sys, time; say = lambda **m: print(json.dumps(m), flush=True);"
DONE = "say(event='done', recorded={'t': 2}, waiting=0, problem='', report={'evolutions': 2})"


def in_its_place(folder: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let another program be run as the node."""
    script = folder / "node.py"
    script.write_text(SAYS + program)
    monkeypatch.setattr(nodes, "python", lambda _: [sys.executable, str(script)])


async def test_lines_that_are_no_progress_are_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = f"print('a library greets'); print('[1, 2]'); say(event='evolution', n=1); {DONE}"
    in_its_place(tmp_path, monkeypatch, program)
    seen: list[dict[str, Any]] = []
    result = await run_node(PLAN, KafkaSettings(), str(tmp_path), seen.append, echo_json=False)
    assert result.recorded == {"t": 2}
    assert seen == [{"event": "evolution", "n": 1}]
    assert capsys.readouterr().err.splitlines() == ["a library greets", "[1, 2]"]


async def test_a_node_serves_where_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = "told = {name: value for name, value in os.environ.items() if '_HTTP_' in name};"
    in_its_place(tmp_path, monkeypatch, f"{told} print(json.dumps([sys.argv, told])); {DONE}")
    for http in (None, HttpSettings(port=9303, host="0.0.0.0", token="of-the-scraper")):
        plan = dataclasses.replace(PLAN, http=http)
        await run_node(plan, KafkaSettings(), str(tmp_path), None, echo_json=False)
    bare, served = map(json.loads, capsys.readouterr().err.splitlines())
    assert "--http-port" not in bare[0] and bare[1] == {}
    assert served[0][-2:] == ["--http-port", "9303"] and "of-the-scraper" not in served[0]
    assert served[1]["EVOMETRICS_HTTP_HOST"] == "0.0.0.0"
    assert served[1]["EVOMETRICS_HTTP_TOKEN"] == "of-the-scraper"


async def test_no_node_is_left_where_its_command_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "say(event='evolution', pid=os.getpid());\nwhile True: say(event='evolution', filler='x' * 9999)"
    )
    in_its_place(tmp_path, monkeypatch, program)
    pids: list[int] = []

    def show(message: dict[str, Any]) -> None:
        pids.append(message["pid"])
        raise KeyError("a fault of the display")

    with pytest.raises(KeyError, match="display"):
        await run_nodes([PLAN], KafkaSettings(), str(tmp_path), on_evolution=show)
    assert not psutil.pid_exists(pids[0])


async def test_a_node_that_does_not_end_when_asked_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "say(event='evolution', pid=os.getpid()); time.sleep(600)"
    )
    in_its_place(tmp_path, monkeypatch, program)
    monkeypatch.setattr(nodes, "END_SECONDS", 0.3)
    pids: list[int] = []
    begun = asyncio.Event()

    def show(message: dict[str, Any]) -> None:
        pids.append(message["pid"])
        begun.set()

    running = asyncio.create_task(run_nodes([PLAN], KafkaSettings(), str(tmp_path), on_evolution=show))
    await asyncio.wait_for(begun.wait(), timeout=60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not psutil.pid_exists(pids[0])


async def test_a_node_that_ends_without_its_report_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_its_place(tmp_path, monkeypatch, "sys.exit('out of agents')")
    with pytest.raises(NodeFailed, match="node-1 ended with exit code 1:\nout of agents"):
        await run_node(PLAN, KafkaSettings(), str(tmp_path), None, echo_json=False)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a killed command can end nothing")
def test_a_node_dies_with_a_command_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "node.py"
    script.write_text(SAYS + "say(event='evolution', pid=os.getpid()); time.sleep(600)")
    program = f"""
        import asyncio, sys
        from evometrics.deploy.pipeline import nodes
        from evometrics.schemas.service.settings import KafkaSettings

        nodes.python = lambda _: [sys.executable, {str(script)!r}]
        plan = nodes.NodePlan("node-1", 1, 1, 0)
        asyncio.run(nodes.run_nodes([plan], KafkaSettings(), {str(tmp_path)!r}, echo_json=True))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        node = psutil.Process(int(running.stdout.readline().split()[-1].rstrip("}")))
        running.kill()
    assert not still_at_work([node], 60)
