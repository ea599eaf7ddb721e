"""A program from its start to its end, in the terminal and the process group of this one.

The kernel sends Ctrl-C and a terminal's other signals to the whole group: the program has them. Those that
somebody sends to this process are passed on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evometrics.deploy.exit_codes import ExitCode
from evometrics.deploy.program.output import STANDARD_OUTPUT, Output
from evometrics.deploy.terminal import tell

PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
HEEDED = (signal.SIGCHLD, signal.SIGWINCH)
#: Signals that Python ignores; a program is started with them as they are usually.
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
PR_SET_CHILD_SUBREAPER = 36
SHELL = "/bin/sh"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program has ended.

    Attributes:
        code: its exit code as a shell gives it: 128 + n where signal n ended it, 126 or 127 where it was not
            started.
        reason: why it counts as failed, in words; empty where it succeeded.
        signal: name of the signal that ended it; empty for none.
        at: when, Unix seconds.
        clock: when, `time.perf_counter()`.
    """

    code: int
    reason: str
    signal: str
    at: float
    clock: float


class Program:
    """One program. It is started by `start`, once; `wait` returns how it ended.

    Attributes:
        began, clock: when it was started: Unix seconds, and `time.perf_counter()`.
        inherited_mb: this process's highest memory once it was started, MB: see `ChildrenSampler`.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], output: Output | None) -> None:
        self.command = list(command)
        self.environ = environ
        self.output = output
        self.pid: int | None = None
        self.refused: OSError | None = None
        self.arrived = ""
        for number in HEEDED:  # elsewhere than on Linux, what is not handled is not kept while it is blocked
            signal.signal(number, nothing)
        # one that the caller ignores, as `nohup` does, the program ignores, too
        self.awaited = {n for n in PASSED_ON if signal.getsignal(n) is not signal.SIG_IGN} | {*HEEDED}
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, self.awaited)
        self.began = self.clock = 0.0
        self.inherited_mb = 0.0

    def start(self) -> None:
        """Start it; where that is impossible, `wait` says why."""
        self.began, self.clock = time.time(), time.perf_counter()
        try:
            self.pid = self.spawn(self.command[0], self.command)
        except OSError as error:
            self.refused = error
            if error.errno == errno.ENOEXEC and (script := shutil.which(self.command[0])):
                with contextlib.suppress(OSError):  # a script that names no interpreter: as a shell does
                    self.pid = self.spawn(SHELL, [SHELL, script, *self.command[1:]])
        self.inherited_mb = high_water_mb()  # starting it may have raised it
        if self.output is not None:
            self.output.start()
        adopt_orphans()

    def spawn(self, file: str, command: list[str]) -> int:
        """Start a program with the signals that this process was started with. Raises OSError."""
        given = self.output and self.output.given
        return os.posix_spawnp(
            file,
            command,
            self.environ,
            file_actions=[] if given is None else [(os.POSIX_SPAWN_DUP2, given, STANDARD_OUTPUT)],
            setsigmask=self.mask,
            setsigdef=IGNORED_BY_PYTHON,
        )

    def wait(self) -> Ended:
        """Wait for its end, passing signals on."""
        if self.pid is None:
            return self.not_started()
        while True:
            number, has_it = next_signal(self.awaited)
            if number == signal.SIGCHLD:
                status = reaped(self.pid)
                if status is not None:
                    return self.ended(os.waitstatus_to_exitcode(status))
            elif number == signal.SIGWINCH:
                if self.output is not None and self.output.resize():
                    self.tell(number)  # the kernel told it before its terminal had the new size
            else:
                self.arrived = signal.Signals(number).name
                if not has_it:
                    self.tell(number)

    def tell(self, number: int) -> None:
        """Send it a signal, if it may be sent one: it may run as somebody else."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)

    def ended(self, code: int) -> Ended:
        """Return its end; `code` is negative where a signal ended it."""
        at, clock = time.time(), time.perf_counter()
        if code < 0:
            name = signal_name(-code)
            return Ended(128 - code, f"ended by {name}", name, at, clock)
        after = f" after {self.arrived}" if self.arrived else ""
        return Ended(code, (code and f"exit code {code}{after}") or "", "", at, clock)

    def not_started(self) -> Ended:
        """Return the end of a program that could not be started, with a shell's exit code."""
        error = self.refused
        assert error is not None
        missing = isinstance(error, FileNotFoundError)
        reason = f"{self.command[0]}: {'command not found' if missing else error.strerror}"
        tell(f"evometrics record: {reason}")
        code = ExitCode.NOT_FOUND if missing else ExitCode.NOT_EXECUTABLE
        return Ended(code, reason, "", self.began, self.clock)

    def urged(self) -> bool:
        """Return whether this process has been asked to end meanwhile."""
        return not signal.sigpending().isdisjoint(self.awaited & {*PASSED_ON})


def high_water_mb() -> float:
    """Return this process's highest memory so far, MB, as the sampler reads it, which is not loaded yet."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def nothing(*_: object) -> None:
    """Handle a signal that is waited for."""


def next_signal(awaited: set[signal.Signals]) -> tuple[int, bool]:
    """Wait for a signal; return it, and whether the kernel has sent it to the whole process group."""
    if sys.platform == "linux":
        found = signal.sigwaitinfo(awaited)
        return found.si_signo, found.si_code > 0
    number = signal.sigwait(awaited)
    return number, number in (signal.SIGINT, signal.SIGQUIT) and in_foreground()


def in_foreground() -> bool:
    """Return whether what is typed at the terminal is this process group's."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def reaped(pid: int) -> int | None:
    """Wait for every process that has ended; return the status of `pid` if it is among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while True:
            found, how = os.waitpid(-1, os.WNOHANG)
            if found == 0:
                break
            if found == pid:
                status = how
    return status


def adopt_orphans() -> None:
    """Become the parent of processes that lose theirs (Linux): those that daemonise are the program's."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def signal_name(number: int) -> str:
    """Return a signal's name, also of one that has none here."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
