"""Which faults happen when: a pure function of the seed, so that a seed tells what it did."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

#: Seconds a part is paused, by kind: longer than its session, so that the group continues without it.
PAUSES = {"stream": (9.0, 13.0), "sink": (11.0, 14.0), "kafka": (4.0, 9.0), "clickhouse": (3.0, 8.0)}
ORDINARY_PAUSE = (2.0, 8.0)
CUT = (1.0, 8.0)
#: Seconds that a killed part is assumed to be down.
RESTART = 4.0


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        at: seconds after the load begins.
        kind: kill (SIGKILL, the supervisor starts it again), pause (SIGSTOP, then SIGCONT) or cut
            (connections dropped and refused).
        part: the part's name.
        seconds: how long a pause or cut lasts; 0 for a kill.
    """

    at: float
    kind: str
    part: str
    seconds: float


def plan_faults(seed: int, parts: Sequence[str], load_seconds: float, number: int) -> list[Fault]:
    """Return a seed's faults, in time order, spread over the load; a part has one at a time."""
    rng = random.Random(f"faults-{seed}")
    faults: list[Fault] = []
    busy_until = dict.fromkeys(parts, 0.0)
    for at in sorted(rng.uniform(0.5, load_seconds) for _ in range(number)):
        part = rng.choice([name for name in parts if busy_until[name] < at] or list(parts))
        kind = rng.choice(["kill", "kill", "pause", "cut"])
        role = part.partition("-")[0]
        low, high = (
            (0.0, 0.0) if kind == "kill" else CUT if kind == "cut" else PAUSES.get(role, ORDINARY_PAUSE)
        )
        faults.append(Fault(round(at, 2), kind, part, round(rng.uniform(low, high), 2)))
        busy_until[part] = at + (faults[-1].seconds or RESTART)
    return faults
