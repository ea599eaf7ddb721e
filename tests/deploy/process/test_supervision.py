"""Child processes: ready before they count, reported when they die, started again, ended for certain."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from evometrics.deploy.process import supervise
from evometrics.deploy.process.child import ChildProcess, ProcessFailedError, ProcessSpec
from evometrics.deploy.process.readiness import answers, at_work, live_at
from evometrics.deploy.process.supervise import SupervisedPart
from evometrics.schemas.service.http import HttpAddress, serve
from tests.support.ended import still_at_work

WAITS = "import time; print('working', flush=True); time.sleep(600)"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"


def spec_of(folder: Path, program: str, **options: float) -> ProcessSpec:
    """A part that is ready once it wrote `working`."""
    log = folder / "part.log"

    async def ready() -> bool:
        return b"working" in log.read_bytes()

    return ProcessSpec("part", (sys.executable, "-c", program), log, ready, **options)  # type: ignore[arg-type]


async def test_a_dead_part_is_reported_with_the_end_of_its_log_and_started_again(tmp_path: Path) -> None:
    program = "import sys; [print('line', n) for n in range(40)]; sys.stdout.flush();" + WAITS
    told: list[str] = []
    back = asyncio.Event()

    def hear(line: str) -> None:
        told.append(line)
        if line == "part is ready again":
            back.set()

    part = SupervisedPart(ChildProcess(spec_of(tmp_path, program)), hear, lambda: told.append("new id"))
    await part.start()
    try:
        first = part.child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await asyncio.wait_for(back.wait(), timeout=60)
        assert part.child.pid != first
        assert part.child.running
    finally:
        await part.stop()
    assert told[1:] == ["new id", "part is ready again"]
    assert re.match(r"part was ended by SIGKILL; restarting it in 0\.\d s\. The end of ", told[0])
    assert told[0].splitlines()[1:] == [*(f"line {n}" for n in range(26, 40)), "working"]
    assert not part.child.running


async def test_a_part_is_kept_running_where_nobody_can_be_told(tmp_path: Path) -> None:
    def closed(_: str) -> None:
        raise BrokenPipeError("the terminal is closed")

    def full() -> None:
        raise OSError("no space to note it")

    part = SupervisedPart(ChildProcess(spec_of(tmp_path, WAITS)), closed, full)
    await part.start()
    try:
        ids = {part.child.pid}
        for number in (2, 3):
            assert part.child.pid is not None
            os.kill(part.child.pid, signal.SIGKILL)
            async with asyncio.timeout(60):
                while part.child.pid in ids or not part.child.running:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            ids.add(part.child.pid)
            assert len(ids) == number
    finally:
        await part.stop()


async def test_a_start_that_fails_by_surprise_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    back = asyncio.Event()

    def hear(line: str) -> None:
        told.append(line)
        if line == "part is ready again":
            back.set()

    child = ChildProcess(spec_of(tmp_path, WAITS))
    part = SupervisedPart(child, hear, lambda: None)
    await part.start()
    start, left = child.start, ["no room for a log"]

    async def once_full() -> None:
        if left:
            raise OSError(left.pop())
        await start()

    monkeypatch.setattr(child, "start", once_full)
    try:
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        await asyncio.wait_for(back.wait(), timeout=60)
    finally:
        await part.stop()
    assert "part could not be started: OSError('no room for a log')" in told


async def test_a_part_that_ends_before_it_is_ready_fails_with_its_exit_code_and_log(tmp_path: Path) -> None:
    child = ChildProcess(spec_of(tmp_path, "print('no such table', flush=True); raise SystemExit(3)"))
    with pytest.raises(ProcessFailedError, match="part ended with exit code 3\nno such table"):
        await child.start()


async def test_a_part_that_does_not_get_ready_in_time_is_ended(tmp_path: Path) -> None:
    child = ChildProcess(spec_of(tmp_path, "import time; time.sleep(600)", ready_timeout=0.5))
    with pytest.raises(ProcessFailedError, match="part was not ready after 0 s"):
        await child.start()
    assert not child.running


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    async def ready() -> bool:
        return False

    child = ChildProcess(ProcessSpec("part", ("/no/such/program",), tmp_path / "part.log", ready))
    told = r"part ended with exit code 1\n/no/such/program could not be started: No such file"
    with pytest.raises(ProcessFailedError, match=told):
        await child.start()


async def test_stop_asks_first_and_kills_what_does_not_listen(tmp_path: Path) -> None:
    polite = ChildProcess(spec_of(tmp_path / "polite", WAITS))
    deaf = ChildProcess(spec_of(tmp_path / "deaf", IGNORES_SIGTERM, grace=0.5))
    for child, code in ((polite, -signal.SIGTERM), (deaf, -signal.SIGKILL)):
        await child.start()
        await child.stop()
        assert child.exit_code == code
        await child.stop()  # Twice does no harm.


async def test_a_ctrl_c_in_the_terminal_does_not_reach_the_part(tmp_path: Path) -> None:
    child = ChildProcess(spec_of(tmp_path, WAITS))
    await child.start()
    try:
        assert child.pid is not None
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
    finally:
        await child.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends what was left")
def test_parts_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    program = f"""
        import asyncio, sys, time
        from pathlib import Path
        from evometrics.deploy.process.child import ChildProcess, ProcessSpec

        async def ready():
            return True

        argv = (sys.executable, "-c", {IGNORES_SIGTERM!r})
        child = ChildProcess(ProcessSpec("part", argv, Path("part.log"), ready))
        asyncio.run(child.start())
        print(child.pid, flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        child = psutil.Process(int(supervisor.stdout.readline()))
        assert child.is_running()
        supervisor.kill()
    assert not still_at_work([child], 60)


async def test_a_part_that_has_stopped_on_purpose_is_told_of_once_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "LIVE_POLL_SECONDS", 0.02)
    why: list[str] = []
    server = await serve(
        HttpAddress(0), None, lambda: "stuck", lambda: "not ready", lambda: why[-1] if why else None
    )
    url = f"http://127.0.0.1:{server.port}/health"
    told: list[str] = []
    spec = dataclasses.replace(spec_of(tmp_path, WAITS), live=live_at(f"{url}/live"))
    why.append("too many dead letters; raise the limit")
    part = SupervisedPart(ChildProcess(spec), told.append, lambda: None)
    await part.start()
    try:
        first = part.child.pid
        assert await at_work(f"{url}/ready")(), "it has started"
        assert not await answers(f"{url}/ready")(), "and is not ready"
        await asyncio.sleep(0.3)
        assert told == ["part stopped: too many dead letters; raise the limit"]
        assert part.child.pid == first and part.child.running
    finally:
        await part.stop()
        await server.close()
