"""Shows what is longer than the screen in a pager, `$PAGER` or `less`."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from evometrics.deploy.console.tables import width

#: Colours of others stay; the screen is not cleared afterwards; it ends at once if all is on the screen.
LESS = "FRX"
#: Long lines are cut, not wrapped, and the arrow keys move sideways.
SIDEWAYS = "-S"
#: It stays even if the lines' beginnings are all on the screen.
STAYS = "-+F"


class PagerClosed(Exception):
    """The reader has seen enough and has left the pager."""


class Pager:
    """A text stream to a terminal: a pager takes over once there is more than the screen holds.

    Lines are wrapped, unless `aligned` says that they are a table's. Without a pager (`PAGER` empty or
    `cat`, no `less`) it prints.
    """

    def __init__(self) -> None:
        self.command = pager_command()
        self.size = shutil.get_terminal_size()
        self.options: list[str] = []
        self.room = self.size.lines - 2  # a prompt, and the line about the result
        self.held: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, text: str) -> int:
        """Write; raises `PagerClosed` once the reader has left."""
        if self.process is not None:
            self.send(text)
        elif not self.command:
            sys.stdout.write(text)
        else:
            self.held.append(text)
            self.room -= sum(self.lines(line) for line in text.split("\n")[:-1])
            if self.room < 0:
                self.start()
        return len(text)

    def lines(self, text: str) -> int:
        """Return how many lines of the screen a line takes."""
        return max(1, -(-width(text) // self.size.columns))

    def aligned(self, columns: int) -> None:
        """Say, before any, that lines are a table's: one wider than the screen goes to the pager."""
        self.options.append(SIDEWAYS)
        if columns > self.size.columns:
            self.options.append(STAYS)
            self.room = -1

    def start(self) -> None:
        """Hand over to the pager."""
        sys.stdout.flush()
        environ = {"LESS": LESS, **os.environ}
        options = self.options if Path(self.command[0]).name == "less" else []
        try:
            self.process = subprocess.Popen(
                [*self.command, *options], stdin=subprocess.PIPE, text=True, env=environ, errors="replace"
            )
        except OSError as error:
            print(f"the pager {self.command[0]} can't be started: {error.strerror}", file=sys.stderr)
            self.command = []
        held, self.held = "".join(self.held), []
        self.write(held)

    def send(self, text: str) -> None:
        """Write to the pager."""
        assert self.process is not None and self.process.stdin is not None
        try:
            self.process.stdin.write(text)
        except BrokenPipeError:
            raise PagerClosed from None

    @property
    def shown(self) -> bool:
        """Whether something is on the screen already."""
        return self.process is not None

    def close(self) -> None:
        """Print what was held, or wait until the reader leaves the pager."""
        held, self.held = "".join(self.held), []
        sys.stdout.write(held)
        sys.stdout.flush()
        process, self.process = self.process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # the pager's own affair
                process.wait()
                return


def pager_command() -> list[str]:
    """Return the pager's command; empty for none."""
    wanted = shlex.split(os.environ.get("PAGER", "less"))
    if not wanted or wanted[0] == "cat" or shutil.which(wanted[0]) is None:
        return []
    return wanted
