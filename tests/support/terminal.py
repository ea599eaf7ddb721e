"""A program on a terminal: what is typed, and what the screen has shown."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from fcntl import ioctl

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]|\x1b\][^\x07]*\x07")
WHERE = b"\x1b[6n"
PATIENCE = 60.0


class Terminal:
    """Runs a program on a terminal of its own, 24 lines of 100 columns; end it with `close`."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self.shown = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(command[0], command, {**os.environ, "TERM": "xterm", **environ})
        ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))

    def type(self, text: str) -> None:
        """Type; forgets what has been shown."""
        self.shown = ""
        os.write(self.fd, text.encode())

    def until(self, text: str, then: str = "") -> str:
        """Wait until a text, and another behind it, is shown; return all that was shown since `type`."""
        end = time.monotonic() + PATIENCE
        while text not in self.shown or then not in self.shown.split(text, 1)[1]:
            assert time.monotonic() < end and self.read(), f"{text!r} is not in {self.shown}"
        return self.shown

    def read(self) -> bool:
        """Read what has been shown; return whether the program runs."""
        if not select.select([self.fd], [], [], 1.0)[0]:
            return True
        try:
            piece = os.read(self.fd, 65536)
        except OSError:  # how Linux says that the other side is closed
            return False
        if WHERE in piece:
            os.write(self.fd, b"\x1b[1;1R")  # the terminal's answer to where the cursor is
        self.shown += ESCAPES.sub("", piece.decode(errors="replace"))
        return bool(piece)

    def code(self) -> int:
        """Wait for the program's end; return its exit code."""
        end = time.monotonic() + PATIENCE
        while self.read():
            assert time.monotonic() < end, self.shown
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        """End the program if it runs, and close the terminal."""
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self.fd)
