"""Small disks that run full under load: the outboxes', the broker's, ClickHouse's; put right in the middle.

Each by another file, which takes the last byte, and by what the part itself writes. The filler is taken away
again; what an outbox has filled itself is emptied by nothing but the broker's return. Nobody lends a hand.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from evometrics.producers.outbox.file import kept_free
from evometrics.schemas.service.disk import DiskSettings, space_of
from tests.faults.outage import AWAY_FOR_GOOD
from tests.faults.parts import Parts
from tests.support.disks import fill, leave

MB = 1_000_000
#: Where the outboxes of a run with a small disk are, below the folder of its journals.
OUTBOXES = "disk"
#: The folders that the disks are mounted on, and their sizes in MB.
DISKS = {"outbox": (f"outbox/{OUTBOXES}", 24), "broker": ("kafka", 400), "clickhouse": ("clickhouse", 300)}
CASES = tuple(f"{part}{by}" for part in DISKS for by in ("", "-itself"))
#: Seconds of load before the disk is full, while it is, and after.
BEFORE, FULL, AFTER = 3.0, 12.0, 3.0
#: What is left for a part to fill by itself beyond what is kept free, bytes.
LEFT = {"outbox": 1 * MB, "broker": 6 * MB, "clickhouse": 2 * MB}


async def full_disk(parts: Parts, case: str) -> None:
    """Have the disk of a case run full for some time."""
    part, _, itself = case.partition("-")
    disk = parts.folder / DISKS[part][0]
    await asyncio.sleep(BEFORE)
    filler = leave(disk, to_keep(part, disk) + LEFT[part]) if itself else fill(disk)
    if part == "outbox":
        await full_outboxes(parts, bool(itself))
    else:
        if case == "broker":
            kill(parts, "kafka-1")  # before it can be stopped in good order
        await asyncio.sleep(FULL)
    if case != "outbox-itself":
        filler.unlink()
    await asyncio.sleep(AFTER)


async def full_outboxes(parts: Parts, itself: bool) -> None:
    """Wait, with the broker away where the outboxes fill the disk themselves; kill a node meanwhile."""
    if itself:
        await parts.proxies["kafka-1"].cut(None, AWAY_FOR_GOOD)
    await asyncio.sleep(FULL / 2)
    kill(parts, "node-0")  # its next life begins on the full disk
    await asyncio.sleep(FULL / 2)
    parts.proxies["kafka-1"].cut_until.clear()


def kill(parts: Parts, name: str) -> None:
    """Kill a part; its supervisor starts it again as soon as it may."""
    child = parts.children[name]
    if child.running and child.pid is not None:
        os.kill(child.pid, signal.SIGKILL)


def to_keep(part: str, disk: Path) -> int:
    """Return how much of its disk a part keeps free by itself, bytes."""
    total = space_of(disk).total
    if part == "outbox":
        return kept_free(total)
    return round(DiskSettings().kept_free(total)) if part == "broker" else 0
