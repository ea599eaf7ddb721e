"""Process-wide tuning of a worker: event loop and garbage collector."""

from __future__ import annotations

import asyncio
import gc
import sys

#: Allocations that trigger a generation-0 collection. A round of work makes a hundred thousand objects,
#: nearly all of which are freed by reference counting when it ends; with the default of 700 the collector
#: would scan all live objects.
YOUNG_OBJECTS = 100_000
#: Thresholds of the older generations: collections of the next younger one between two of each.
OLDER = (20, 100)


def set_pace() -> None:
    """Tune a process that is about to run a worker, before its event loop is made."""
    set_collector_pace()
    if sys.platform != "win32":
        import uvloop

        # as the policy: Faust's consumer makes its own event loop, in a thread
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def set_collector_pace() -> None:
    """Tune only the garbage collector, in a process that computes without an event loop."""
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *OLDER)
