"""One child process: started with a log file and a readiness check, ended by its id."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from evometrics.deploy.process import tied
from evometrics.deploy.process.logfile import is_full, older, rotate
from evometrics.deploy.process.readiness import Liveness
from evometrics.schemas.errors import EvometricsError

READY_POLL_SECONDS = 0.1
EXIT_POLL_SECONDS = 0.1
TAIL_LINES = 15


class ProcessFailedError(EvometricsError, RuntimeError):
    """A part did not become ready or could not be started; the message ends with the end of its log."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run and how to check that it works.

    Attributes:
        name: the part's name in messages and log files.
        argv: program and arguments.
        log: the file its output is appended to.
        ready: returns True once the part does its work; False or an error means not yet.
        env: variables added to those of this process.
        cwd: the folder it runs in; None = that of this process.
        ready_timeout: seconds it may take to become ready.
        grace: seconds between SIGTERM and SIGKILL; above the 15 that a worker allows its work in progress.
        live: liveness check, used once it is ready; None = only its death counts.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    ready: Callable[[], Awaitable[bool]]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_timeout: float = 60.0
    grace: float = 30.0
    live: Callable[[], Awaitable[Liveness]] | None = None
    cwd: Path | None = None


class ChildProcess:
    """Runs a `ProcessSpec`; may be started again after it ended.

    The child leads its own session, so a Ctrl-C in the terminal reaches only this process, which then ends
    its children in order. If this process is killed the kernel kills the child (on Linux; elsewhere the next
    `evometrics up` ends it by the id noted in stack.json).

    The kernel ties the child to the *thread* that started it: call `start` from one that lives as long.
    """

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self._process: subprocess.Popen[bytes] | None = None
        self._last_error: Exception | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None before the first start."""
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; a negative number is the signal that ended it."""
        return self._process.poll() if self._process else None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start it and wait until it is ready; on failure end it and raise `ProcessFailedError`."""
        assert not self.running, f"{self.spec.name} is already running"
        self._spawn()
        deadline = time.monotonic() + self.spec.ready_timeout
        try:
            while not await self._is_ready():
                if not self.running:
                    raise ProcessFailedError(f"{self.spec.name} {self.describe_exit()}\n{self.log_tail()}")
                if time.monotonic() > deadline:
                    waited = f"{self.spec.name} was not ready after {self.spec.ready_timeout:.0f} s"
                    why = f" (last check: {self._last_error!r})" if self._last_error else ""
                    raise ProcessFailedError(f"{waited}{why}; the end of its log:\n{self.log_tail()}")
                await asyncio.sleep(READY_POLL_SECONDS)
        except BaseException:
            self.kill()
            raise

    async def _is_ready(self) -> bool:
        self._last_error = None
        try:
            return await asyncio.wait_for(self.spec.ready(), timeout=10) and self.running
        except Exception as error:  # Whatever error a check raises while its part starts, it is repeated.
            self._last_error = error
            return False

    def _spawn(self) -> None:
        self.spec.log.parent.mkdir(parents=True, exist_ok=True)
        if is_full(self.spec.log):
            self.spec.log.replace(older(self.spec.log))
        with self.spec.log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    [*tie_to_parent(), *self.spec.argv],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self.spec.env},
                    cwd=self.spec.cwd,
                    start_new_session=True,
                )
            except OSError as error:
                raise ProcessFailedError(f"{self.spec.name} could not be started: {error}") from error

    async def wait(self) -> int:
        """Wait until it ends; return its exit code."""
        while self.running:  # noqa: ASYNC110 - nothing tells a loop of a child's end on every platform
            await asyncio.sleep(EXIT_POLL_SECONDS)
        assert self._process is not None
        return self._process.returncode

    async def stop(self) -> None:
        """Send SIGTERM, wait for its grace period, then kill it and everything it started."""
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.wait(), timeout=self.spec.grace)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the child and everything in its session; return once it has ended."""
        if self._process is None:
            return
        # Nobody of the group may be left (macOS answers "not permitted" for a group of zombies).
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    async def rotate_log(self) -> None:
        """Begin its log anew if it is full, while it runs; its lines so far are then in `<name>.old.log`."""
        if self._process is not None and self.running and is_full(self.spec.log):
            await asyncio.to_thread(rotate, self.spec.log, self._process.pid)

    def describe_exit(self) -> str:
        """Return how it ended, in words for an operator."""
        code = self.exit_code
        if code is None:
            return "is running"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines it wrote."""
        try:
            with self.spec.log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(0, size - 64 * 1024))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def python(module: str) -> list[str]:
    """Return the command that runs one of our modules, never a module of that name in the current folder."""
    return [sys.executable, "-P", "-m", module]


def tie_to_parent() -> list[str]:
    """Return the command prefix that ends a program together with this process (Linux only)."""
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", tied.__file__, str(os.getpid())]
