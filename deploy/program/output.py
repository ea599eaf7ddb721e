"""A program's standard output: passed on as it comes, its end kept for the KPIs in its last line.

On a terminal the program gets a terminal, too (a pty that changes no byte, of the same size), so that it
colours, flushes and draws as it would alone; anywhere else it gets a pipe.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading
from collections import deque

from evometrics.deploy.terminal import tell

STANDARD_OUTPUT = 1
PIECE = 65536
#: Longest last line that is looked at, bytes, and how much is read of what others write after the end: at
#: least what a pipe can hold.
LONGEST = 1 << 20
#: Seconds that what was written to a terminal may take to its other side: the kernel passes it on by itself.
TERMINAL_SECONDS = 0.1


class Output:
    """Reads what a program writes to `given` and writes it to this process's standard output.

    Attributes:
        given: the program's standard output; closed by `start`.
        incomplete: whether something of it could not be written.
    """

    def __init__(self) -> None:
        """Raises OSError where this process has no standard output, or no descriptors are left."""
        os.fstat(STANDARD_OUTPUT)
        self.terminal = os.isatty(STANDARD_OUTPUT)
        if self.terminal:
            import tty

            self.source, self.given = os.openpty()
            tty.setraw(self.given)
            self.resize()
        else:
            self.source, self.given = os.pipe()
        self.ended, self.ending = os.pipe()
        self.kept: deque[bytes] = deque()
        self.size = 0
        self.cut = self.incomplete = False
        self.thread = threading.Thread(target=self.run, name="evometrics-output", daemon=True)

    def resize(self) -> bool:
        """Give the program's terminal the size of ours; return whether it has one."""
        if self.terminal:
            import fcntl
            import termios

            with contextlib.suppress(OSError):
                size = fcntl.ioctl(STANDARD_OUTPUT, termios.TIOCGWINSZ, bytes(8))
                fcntl.ioctl(self.source, termios.TIOCSWINSZ, size)
        return self.terminal

    def start(self) -> None:
        """Pass output on from now on; the program has been started."""
        os.close(self.given)
        self.thread.start()

    def finish(self) -> bytes:
        """Pass on what the program, which has ended, has written; return its last line that is not empty.

        Where it has left processes that still write, `cat` passes on what follows: for them nothing changes.
        """
        os.close(self.ending)
        self.thread.join()
        os.close(self.ended)
        if self.source >= 0:
            with contextlib.suppress(OSError):
                leave_to_cat(self.source)
            os.close(self.source)
        lines = b"".join(self.kept).rstrip()
        before, _, last = lines.rpartition(b"\n")
        return b"" if self.cut and not before else last

    def run(self) -> None:
        """Pass on what there is, until everybody has closed it, or the program has ended."""
        after_end: int | None = None
        last_wait = TERMINAL_SECONDS if self.terminal else 0.0
        while after_end is None or after_end < LONGEST:
            watched = [self.source] if after_end is not None else [self.source, self.ended]
            ready, _, _ = select.select(watched, [], [], None if after_end is None else last_wait)
            if self.ended in ready:
                after_end = 0
            if self.source in ready:
                piece = self.read()
                self.keep(piece)
                if not piece or not self.write(piece):
                    # the program is told as if nobody stood in between
                    os.close(self.source)
                    self.source = -1
                    return
                after_end = None if after_end is None else after_end + len(piece)
            elif after_end is not None and self.ended not in ready:
                return

    def read(self) -> bytes:
        """Return the next piece; nothing at the end."""
        try:
            return os.read(self.source, PIECE)
        except OSError as error:
            if error.errno != errno.EIO:  # how Linux says that a terminal's other side is closed
                tell(f"evometrics record: the program's output can't be read: {error}")
            return b""

    def write(self, piece: bytes) -> bool:
        """Write all of a piece; return False where nobody takes it."""
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[os.write(STANDARD_OUTPUT, rest) :]
            except BlockingIOError:  # another process has made it non-blocking
                select.select([], [STANDARD_OUTPUT], [])
            except BrokenPipeError:
                return False
            except OSError as error:
                self.incomplete = True
                tell(f"evometrics record: the program's output can't be written: {error}")
                return False
        return True

    def keep(self, piece: bytes) -> None:
        """Keep the last `LONGEST` bytes, and at most a piece more."""
        self.kept.append(piece)
        self.size += len(piece)
        while self.size - len(self.kept[0]) >= LONGEST:
            self.size -= len(self.kept.popleft())
            self.cut = True


def leave_to_cat(source: int) -> None:
    """Start `cat`, which outlives this process and passes on what is written to the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    moves = [(os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, nowhere, 2)]
    os.posix_spawnp("cat", ["cat"], os.environ, file_actions=moves, setsigmask=())
    os.close(nowhere)
