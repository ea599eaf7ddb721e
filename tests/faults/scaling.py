"""Stream workers and sinks go from one to three and back under load, joining and leaving in good order."""

from __future__ import annotations

import asyncio

from tests.faults.parts import Parts

KINDS = ("stream", "sink")
MOST = 3


def most_seconds(rounds: int, gap: float) -> float:
    """Return for how long the load may have to continue in `scale`."""
    return gap + rounds * 2 * (MOST - 1) * (gap + 20)


async def scale(parts: Parts, rounds: int, gap: float) -> list[str]:
    """Go 1 -> 3 -> 1 each round, `gap` seconds between steps; return who did not leave in good order."""
    unclean: list[str] = []
    await asyncio.sleep(gap)
    for _ in range(rounds):
        for number in range(2, MOST + 1):
            await asyncio.gather(*(parts.start_worker(kind, number) for kind in KINDS))
            await asyncio.sleep(gap)
        for number in range(MOST, 1, -1):
            unclean += await asyncio.gather(*(leave(parts, f"{kind}-{number}") for kind in KINDS))
            await asyncio.sleep(gap)
    return [said for said in unclean if said]


async def leave(parts: Parts, name: str) -> str:
    """Stop a worker with SIGTERM; say so where it had to be killed or failed."""
    part = parts.supervised[name]
    await part.stop()
    return "" if part.child.exit_code == 0 else f"{name} {part.child.describe_exit()}"
