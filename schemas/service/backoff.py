"""How long to wait before the next attempt, the same for every part and whatever it waits for."""

from __future__ import annotations

import random

FIRST_SECONDS = 0.2
LONGEST_SECONDS = 10.0
#: The longest pause where others wait for the result.
SOON_SECONDS = 1.0


def backoff(attempt: int, longest: float = LONGEST_SECONDS) -> float:
    """Return seconds to wait after failed attempt number `attempt` (from 1), at most `longest`.

    They double with each attempt, and half of them is jitter.
    """
    pause = min(longest, FIRST_SECONDS * 2.0 ** min(attempt - 1, 16))
    return pause * (0.5 + random.random() / 2)
