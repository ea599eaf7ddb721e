"""What a command says at a terminal, or into a pipe whose reader may have gone."""

from __future__ import annotations

import contextlib
import os
import select
import sys


def tell(line: str) -> None:
    """Print a step for the person who waits; results go to standard output.

    Where the terminal is closed there is nobody to tell, and the work goes on.
    """
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def reader_gone() -> bool:
    """Tell whether the reader of standard output or of standard error has gone, as `| head` does."""
    watched = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or no file
            watched.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in watched.poll(0))


def hush() -> None:
    """Let Python's own last flush of what nobody reads go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if not stream.isatty():
                os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
