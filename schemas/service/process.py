"""What every worker's `/metrics` says of its process: build, readiness, progress, memory, processor time."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from evometrics.schemas.metrics import BUILD_INFO, READY, STUCK_SECONDS, Instruments
from evometrics.schemas.service.health import Watchdog
from evometrics.schemas.service.http import Check

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


def show_process(
    registry: CollectorRegistry, instruments: Instruments, part: str, ready: Check, watchdog: Watchdog
) -> None:
    """Add a worker's process to its metrics, and what its watchdog has seen.

    `ready` is called in the thread that answers a scrape; it must only look at what is there.
    """
    from prometheus_client import ProcessCollector

    ProcessCollector(registry=registry)
    instruments.gauge(BUILD_INFO).labels(version("evometrics"), part).set(1)
    instruments.gauge(READY).set_function(lambda: float(ready() is None))
    instruments.gauge(STUCK_SECONDS).set_function(watchdog.seconds)
