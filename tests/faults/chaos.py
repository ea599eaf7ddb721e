"""Carries out a seed's faults on the running parts."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence

from evometrics.schemas.service.tasks import end_tasks
from tests.faults.parts import Parts
from tests.faults.schedule import Fault


async def inject(parts: Parts, faults: Sequence[Fault], counted: Counter[str]) -> None:
    """Carry out faults, each at its time from now; count those that met a running part."""
    began = time.monotonic()
    under_way: list[asyncio.Task[None]] = []
    try:
        for fault in faults:
            await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
            child = parts.children.get(fault.part)
            if child is not None and child.running:
                counted[f"{fault.kind} {fault.part.partition('-')[0]}"] += 1
                under_way.append(asyncio.create_task(strike(parts, fault)))
        await asyncio.gather(*under_way)
    finally:
        await end_tasks(under_way)


async def strike(parts: Parts, fault: Fault) -> None:
    """Carry out one fault."""
    child = parts.children[fault.part]
    assert child.pid is not None
    if fault.kind == "kill":
        os.kill(child.pid, signal.SIGKILL)
    elif fault.kind == "pause":
        os.kill(child.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            if child.running:
                os.kill(child.pid, signal.SIGCONT)
    elif fault.part in parts.proxies:
        await parts.proxies[fault.part].cut(None, fault.seconds)
    else:
        await asyncio.gather(*(proxy.cut(child.pid, fault.seconds) for proxy in parts.proxies.values()))


async def resume_all(parts: Parts) -> None:
    """Let every paused part run, and every cut connection come back."""
    for child in parts.children.values():
        if child.running and child.pid is not None:
            os.kill(child.pid, signal.SIGCONT)
    for proxy in parts.proxies.values():
        proxy.cut_until.clear()
