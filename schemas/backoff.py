"""How long to wait before the next try, the same for every part and whatever it waits for."""

from __future__ import annotations

import random

FIRST_SECONDS = 0.2
LONGEST_SECONDS = 10.0


def backoff(attempt: int) -> float:
    """Return seconds to wait after failed try number `attempt` (from 1): doubling, with half of it jitter."""
    longest = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(attempt - 1, 16))
    return longest * (0.5 + random.random() / 2)
