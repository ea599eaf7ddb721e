"""A small program that becomes another one, which the kernel ends together with its parent (Linux).

Run as `python -I -S tied.py PARENT PROGRAM ARGUMENT...`. Python code between fork and exec (`preexec_fn`)
could do the same, but if the parent has other threads a child may wait there forever for a lock that one of
them held.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then replace it with the program."""
    parent, *argv = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # The parent ended before the two were tied.
        sys.exit(1)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.exit(f"{argv[0]} could not be started: {error.strerror}")


if __name__ == "__main__":
    main()
