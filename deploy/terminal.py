"""Output of a command to a terminal, or into a pipe whose reader may have gone."""

from __future__ import annotations

import contextlib
import os
import select
import sys


def tell(line: str) -> None:
    """Print a step for the waiting user; results go to standard output.

    If the terminal has been closed nobody can be told, and the work continues.
    """
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def reader_gone() -> bool:
    """Return whether the reader of standard output or of standard error has gone, as with `| head`."""
    watched = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or not a file
            watched.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in watched.poll(0))


def hush() -> None:
    """Discard Python's own last flush of output that nobody reads."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if not stream.isatty():
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
