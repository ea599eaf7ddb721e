"""Progress, for people, on standard error: standard output is for the results."""

from __future__ import annotations

import sys
import time

BEGAN = time.monotonic()


def say(line: str) -> None:
    """Print a line with the time since the run began."""
    print(f"[{time.monotonic() - BEGAN:7.1f} s] {line}", file=sys.stderr, flush=True)
