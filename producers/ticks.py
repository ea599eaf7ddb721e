"""The clock that durations within a process come from: it is never set, and counts a machine's sleep."""

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
