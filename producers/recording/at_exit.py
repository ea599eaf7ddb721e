"""Closes the process's recorders when it ends, children of `multiprocessing` included.

Those end without `atexit`; what they register with `multiprocessing.util.Finalize` runs instead. A process
that ends by `os._exit` or a signal runs neither.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import Protocol


class Closable(Protocol):
    """What is closed at the end."""

    def close_at_exit(self) -> None:
        """Close it for good; raises nothing."""


open_here: dict[int, Closable] = {}
finalized_in = 0


def close_at_exit(closable: Closable) -> None:
    """Have something closed when this process ends."""
    global finalized_in
    open_here[id(closable)] = closable
    # a child clears what was registered before it, so this is done when something is first used in it
    util = sys.modules.get("multiprocessing.util")
    if util is not None and finalized_in != os.getpid() and in_child():
        finalized_in = os.getpid()
        # below 0: after the children of this process were joined
        util.Finalize(None, close_all, exitpriority=-100)


def in_child() -> bool:
    """Return whether `multiprocessing` has started this process."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def forget(closable: Closable) -> None:
    """Something was closed before the end."""
    open_here.pop(id(closable), None)


def close_all() -> None:
    while open_here:
        _, closable = open_here.popitem()
        closable.close_at_exit()


atexit.register(close_all)
