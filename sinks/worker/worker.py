"""The sink as a long-running process: waits for its servers, serves metrics and health, stops cleanly."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from evometrics.schemas.kafka.lag import GroupLag
from evometrics.schemas.kafka.reaching import why_unusable
from evometrics.schemas.kafka.rights import right_missing
from evometrics.schemas.letters.letter import SINK
from evometrics.schemas.metrics import (
    BATCHES_INSERTED,
    DEAD_LETTERS_TOTAL,
    INSERT_RETRIES,
    INSERT_SECONDS,
    MESSAGES_CONSUMED,
    OF_SINK,
    OFFSETS_GONE,
    REACHABLE,
    ROWS_INSERTED,
    Instruments,
)
from evometrics.schemas.service.backoff import backoff
from evometrics.schemas.service.beginnings import Beginnings
from evometrics.schemas.service.disk import show_free
from evometrics.schemas.service.exposition import Exposition
from evometrics.schemas.service.health import HealthSettings, Standing, Watchdog
from evometrics.schemas.service.http import HttpAddress, serve
from evometrics.schemas.service.process import show_process
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.service.tasks import end_tasks
from evometrics.schemas.topics import TOPICS
from evometrics.schemas.wire.framing import WireFormat, open_wire
from evometrics.schemas.wire.registry import RegistryRefused, RegistryUnavailable
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.sinks.worker.cycle import SinkCycle
from evometrics.sinks.worker.group_taken import group_taken
from evometrics.sinks.worker.metrics import StoredMetrics
from evometrics.sinks.worker.tally import MetricsTally

log = logging.getLogger(__name__)

T = TypeVar("T")

#: A client that has not joined its group after this time may be waiting for an address where nobody answers.
HANGS_SECONDS = 5.0


class SinkWorker:
    """One sink process: the cycle, its metrics and its health.

    Attributes:
        waiting_for: in words, the dependency it is waiting for at the start; None once it works.
        away: in words, which of Kafka and ClickHouse did not answer the last check.
    """

    def __init__(self, kafka: KafkaSettings, clickhouse: ClickHouseSettings, sink: SinkSettings) -> None:
        self.kafka = kafka
        self.clickhouse = clickhouse
        self.sink = sink
        self.registry = CollectorRegistry()
        self.instruments = Instruments(self.registry, OF_SINK)
        begin_at_0(self.instruments)
        self.metrics = StoredMetrics(sink.metrics_agents, sink.metrics_forget_seconds)
        self.metrics.register(self.registry)
        self.beginnings = Beginnings()
        self.exposition = Exposition(self.registry, self.beginnings)
        self.cycle: SinkCycle | None = None
        self.waiting_for: str | None = "starting"
        self.lag = GroupLag(kafka, sink.group, self.instruments)
        self.away: str | None = None

    async def run(self, stop: asyncio.Event) -> None:
        wire = await self.until_there("the schema registry", self.kafka.registry_url, self.open_wire)
        node = f"sink-{socket.gethostname()}-{os.getpid()}"
        tally = MetricsTally(self.metrics, self.beginnings)
        cycle = SinkCycle(self.kafka, self.clickhouse, self.sink, wire, node, self.instruments, tally)
        self.cycle = cycle
        try:
            self.waiting_for = f"ClickHouse at {self.clickhouse.url}"
            await cycle.writer.reach()
            await self.until_there("Kafka", self.kafka.brokers, lambda: self.join(cycle))
            self.waiting_for = None
            log.info("sink group %s: %s -> %s", self.sink.group, self.kafka.brokers, self.clickhouse.url)
            await cycle.run(stop)
        finally:
            await cycle.close()

    async def open_wire(self) -> WireFormat:
        return await open_wire(self.kafka)

    async def until_there(self, name: str, address: str, start: Callable[[], Awaitable[T]]) -> T:
        """Call `start` until it succeeds, reporting what it is waiting for."""
        self.waiting_for = f"{name} at {address}"
        attempt = 0
        dependency = self.instruments.gauge(REACHABLE).labels("kafka" if name == "Kafka" else "registry")
        while True:
            try:
                found = await start()
                dependency.set(1)
                return found
            except (KafkaError, RegistryUnavailable, OSError) as error:
                attempt += 1
                dependency.set(0)
                pause = backoff(attempt)
                refused = str(error) if isinstance(error, RegistryRefused) else None
                wrong = (
                    refused or group_taken(error, self.sink.group) or right_missing(error, self.kafka, "sink")
                )
                if wrong is None and name == "Kafka":
                    wrong = await why_unusable(self.kafka)
                self.waiting_for = wrong or f"{name} at {address} does not answer ({error})"
                way_out = "" if wrong else "; start it (`evometrics up`) or name another address"
                log.warning("%s%s; next attempt in %.1f s", self.waiting_for, way_out, pause)
                await asyncio.sleep(pause)

    async def join(self, cycle: SinkCycle) -> None:
        """Connect to Kafka and join the group; if that hangs, find out why, for the client does not say."""
        joining = asyncio.create_task(cycle.source.start())
        try:
            while not (await asyncio.wait({joining}, timeout=HANGS_SECONDS))[0]:
                wrong = await why_unusable(self.kafka)
                if wrong is not None and wrong != self.waiting_for:
                    self.waiting_for = wrong
                    log.warning(wrong)
            await joining
        finally:
            await end_tasks([joining])

    async def look(self) -> Standing:
        """Return the worker's health; asks Kafka for the group's lag, and ClickHouse whether it answers."""
        database = await self.clickhouse_away() if self.cycle is not None else None
        if self.cycle is None or self.waiting_for is not None:
            return Standing(None, away=self.waiting_for)
        if (stopped := self.stopped()) is not None:
            return Standing(None, away=stopped)
        assigned = self.cycle.progress.assigned
        lag = await self.lag.measure(assigned or ())
        registry = self.cycle.registry_trouble
        if self.kafka.registry_url:
            self.instruments.gauge(REACHABLE).labels("registry").set(registry is None)
        self.away = self.lag.away or database or self.cycle.writer.trouble or registry
        todo = None
        if assigned is None:
            todo = f"to join group {self.sink.group}"
        elif lag is not None and lag.behind:
            todo = f"{lag.behind} messages are not committed"
        return Standing((lag and lag.committed, self.cycle.moved()), todo, self.away)

    async def clickhouse_away(self) -> str | None:
        """Ask ClickHouse whether it answers, and show that; return what is wrong."""
        assert self.cycle is not None
        away = await self.cycle.writer.away()
        self.instruments.gauge(REACHABLE).labels("clickhouse").set(away is None)
        return away

    def stopped(self) -> str | None:
        """Return why the worker has stopped and stays up; None while it works."""
        return self.cycle.stopped if self.cycle is not None else None

    def ready(self) -> str | None:
        """Return None while events flow, otherwise what the worker is waiting for."""
        if self.cycle is None or self.waiting_for is not None:
            return self.waiting_for or "starting"
        return self.cycle.ready() or self.away


def begin_at_0(instruments: Instruments) -> None:
    """Have a series for each topic and table before anything is counted."""
    topics = [(topic.name,) for topic in TOPICS]
    for definition in (MESSAGES_CONSUMED, OFFSETS_GONE):
        instruments.begin(definition, *topics)
    instruments.begin(DEAD_LETTERS_TOTAL, *((topic.name, SINK) for topic in TOPICS))
    for definition in (ROWS_INSERTED, BATCHES_INSERTED, INSERT_RETRIES, INSERT_SECONDS):
        instruments.begin(definition, *((topic.table,) for topic in TOPICS))


async def run_sink(
    kafka: KafkaSettings,
    clickhouse: ClickHouseSettings,
    sink: SinkSettings,
    listen: HttpAddress | None,
    stop: asyncio.Event,
    health: HealthSettings | None = None,
    disks: Mapping[str, Path] | None = None,
) -> None:
    """Run a sink worker until `stop` is set; serve metrics and health at `listen` (None: not at all).

    `disks`: data folders by name, whose free space the metrics report if they are on this machine.
    Unreachable dependencies are waited for, with a log line that names them. Raises `OSError` if the port is
    taken, `IncompatibleSchema` if the registry refuses a schema, and any error that makes the worker unable
    to continue: a supervisor then restarts it.
    """
    worker = SinkWorker(kafka, clickhouse, sink)
    show_free(worker.registry, disks or {})
    watchdog = Watchdog("sink", health or HealthSettings(), worker.look)
    show_process(worker.registry, worker.instruments, "sink", worker.ready, watchdog)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(worker.lag.close)
        await stack.enter_async_context(watchdog)
        if listen is not None:
            server = await serve(
                listen, worker.exposition.answer, watchdog.live, worker.ready, worker.stopped
            )
            stack.push_async_callback(server.close)
        working = asyncio.create_task(worker.run(stop), name="sink")
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if worker.waiting_for is not None and not working.done():
                await end_tasks([working])
            else:
                await working
        finally:
            await end_tasks([working, stopping])
