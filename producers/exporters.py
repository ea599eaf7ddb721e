"""Side exports the specification's config keys ask for: best effort, in the background, never in the way.

The record of what happened is the outbox and the broker; an export that fails is tried again with newer
figures, and lost at worst.
"""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod

from evometrics.producers.settings import CollectorSettings
from evometrics.schemas.events import Event

logger = logging.getLogger(__name__)

RETRY_FIRST = 1.0


class Exporter(ABC):
    """Sees every recorded event at once, sends what it made of them every `interval` seconds.

    Attributes:
        address: where to, for the log.
        problem: why the last attempt failed; empty where it did not.
    """

    def __init__(self, address: str, interval: float) -> None:
        self.address = address
        self.interval = interval
        self.problem = ""

    @abstractmethod
    def observe(self, event: Event) -> None:
        """Take an event into account; in memory only, from any thread."""

    @abstractmethod
    def send(self) -> None:
        """Send; blocking, in a thread of its own. Raises OSError where it could not."""

    async def export(self) -> bool:
        """Send once; tell whether it worked."""
        try:
            await asyncio.to_thread(self.send)
        except Exception as error:
            if not self.problem:
                logger.warning("%s: export failed, will be repeated: %s", self.address, error)
            self.problem = str(error) or type(error).__name__
            return False
        if self.problem:
            logger.info("%s: exports again", self.address)
        self.problem = ""
        return True

    async def run(self) -> None:
        """Export for ever; sooner again after a failure."""
        pause = RETRY_FIRST
        while True:
            await asyncio.sleep(min(pause, self.interval) if self.problem else self.interval)
            worked = await self.export()
            pause = RETRY_FIRST if worked else min(self.interval, pause * 2) * random.uniform(0.75, 1.0)


def configured_exporters(settings: CollectorSettings) -> list[Exporter]:
    """Return the exporters the settings ask for. Raises `SettingsError` where one lacks its library."""
    exporters: list[Exporter] = []
    if settings.prometheus_gateway:
        from evometrics.producers.pushgateway import PushgatewayExporter

        exporters.append(
            PushgatewayExporter(settings.prometheus_gateway, settings.node_id, settings.flush_interval)
        )
    if settings.influxdb_url:
        from evometrics.producers.influxdb import InfluxExporter

        exporters.append(
            InfluxExporter(settings.influxdb_url, settings.influxdb_token, settings.flush_interval)
        )
    return exporters
