"""What lets a worker process run as fast as it can: its event loops and its garbage collector."""

from __future__ import annotations

import asyncio
import gc
import sys

#: New objects after which the youngest are looked through. A round makes a hundred thousand, nearly all of
#: which die with it by their reference counts; the default of 700 has the collector look at all the living.
YOUNG_OBJECTS = 100_000
#: How often the next older generation is looked through: each so many times the younger one was.
OLDER = (20, 100)


def set_pace() -> None:
    """Set up a process that is about to run a worker, before its event loop is made."""
    set_collector_pace()
    if sys.platform != "win32":
        import uvloop

        # by policy: Faust's consumer makes an event loop of its own, in a thread
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def set_collector_pace() -> None:
    """Set up the garbage collector alone, of a process that computes without an event loop."""
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *OLDER)
