"""What Prometheus scrapes of a sink that has stored events of many agents, and of a node that recorded them.

A scrape's time is judged by the quickest, since others may need this machine; the slowest is printed, too.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from evometrics.schemas.service.beginnings import Beginnings
from evometrics.schemas.service.exposition import Exposition
from evometrics.schemas.service.http import HttpAddress, serve
from tests.alerts.prometheus import Prometheus
from tests.support.agents import recorded, registered, stored

MOST_SECONDS, MOST_BYTES = 1.0, 20e6
SCRAPES = 5


def nothing_wrong() -> None:
    """Answer a health check."""


async def scraped(folder: Path, agents: int) -> int:
    """Print size and time of scrapes; 1 where one is above what may be."""
    right = True
    prometheus = Prometheus(folder / "prometheus", scrape_seconds=5)
    shown = {
        job: Exposition(registered(of), Beginnings())
        for job, of in {"evometrics-sink": stored(agents), "evometrics-node": recorded(agents)}.items()
    }
    servers = {
        job: await serve(HttpAddress(0), each.answer, lambda: None, lambda: None)
        for job, each in shown.items()
    }
    for job, server in servers.items():
        prometheus.scrape(job, f"127.0.0.1:{server.port}")
    prometheus.start()
    try:
        await prometheus.until_ready()
        await asyncio.sleep(SCRAPES * 5)
        for job in shown:
            of = f'{{job="{job}"}}'
            figures = [
                await asyncio.to_thread(prometheus.value, f"{what}{of}[1m])")
                for what in (
                    "min_over_time(scrape_duration_seconds",
                    "max_over_time(scrape_duration_seconds",
                    "max_over_time(scrape_body_size_bytes",
                    "max_over_time(scrape_samples_scraped",
                    "min_over_time(up",
                )
            ]
            seconds, slowest, size, samples, up = (each or 0.0 for each in figures)
            print(
                f"{job}, {agents:,} agents: {samples:,.0f} samples, {size / 1e6:.1f} MB, "
                f"{seconds:.2f} s (slowest {slowest:.2f} s)"
            )
            right &= up == 1 and seconds < MOST_SECONDS and 0 < size < MOST_BYTES
    finally:
        prometheus.stop()
        for server in servers.values():
            await server.close()
    return 0 if right else 1
