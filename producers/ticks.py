"""The clock for durations within a process: it is never set, and includes the time a machine is suspended."""

from __future__ import annotations

import time

if hasattr(time, "CLOCK_BOOTTIME"):

    def ticks() -> float:
        """Return seconds since an arbitrary moment, by Linux's boot clock."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:

    def ticks() -> float:
        """Return seconds since an arbitrary moment, by the monotonic clock."""
        return time.monotonic()
