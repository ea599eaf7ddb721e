"""The embedded stack: Kafka, ClickHouse, stream workers, sinks and pages as processes of one machine."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.clickhouse.settings import ServerSettings
from evometrics.deploy.kafka.broker import KafkaNode, bootstrap, plan_nodes, prepare_node
from evometrics.deploy.kafka.jars import Progress
from evometrics.deploy.kafka.java import MissingPartError
from evometrics.deploy.process.child import ChildProcess, ProcessSpec
from evometrics.deploy.process.ports import HOST, steady_ports
from evometrics.deploy.process.supervise import SupervisedPart
from evometrics.deploy.stack.disks import DiskWatch, Reserve
from evometrics.deploy.stack.parts import PAGES, Preparation, pages_part, served_at, worker
from evometrics.deploy.stack.password import check_passwords, login, read_password, writers_password
from evometrics.deploy.stack.stackfile import (
    StackAddresses,
    end_leftovers,
    lock_data,
    remove_stack,
    write_stack,
)
from evometrics.schemas.kafka.reaching import known_nodes, why_unusable
from evometrics.schemas.service.disk import DiskSettings
from evometrics.schemas.service.http import HttpSettings
from evometrics.schemas.service.settings import KafkaSettings, require
from evometrics.schemas.service.tasks import end_tasks
from evometrics.sinks.settings import ClickHouseSettings


@dataclass(frozen=True, slots=True)
class StackSettings:
    """What to run, and where.

    Attributes:
        data: folder of all data and logs.
        local_brokers: Kafka nodes to run: 1, or a cluster of 3; None = 1, where no other Kafka is named.
        external_brokers: `host:port` of a running Kafka that takes the place of the embedded one.
        kafka: how to log in to `external_brokers`.
        external_clickhouse: URL of a running ClickHouse that takes the place of the embedded one.
        clickhouse: how to log in to `external_clickhouse`, or to the embedded one, which gets a password that
            is made at its first start where none is set.
        clickhouse_server: who else may use the embedded ClickHouse, and how.
        stream_workers: Faust workers to run.
        sink_workers: sinks to run.
        pages: whether the web pages are served.
        disk: how much room is kept on the disks.
        http: how the workers serve health and metrics; each on a loopback port of its own.
    """

    data: str = ".evometrics"
    local_brokers: int | None = None
    external_brokers: str | None = None
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    external_clickhouse: str | None = None
    clickhouse: ClickHouseSettings = field(default_factory=ClickHouseSettings)
    clickhouse_server: ServerSettings = field(default_factory=ServerSettings)
    stream_workers: int = 1
    sink_workers: int = 1
    pages: bool = False
    disk: DiskSettings = field(default_factory=DiskSettings)
    http: HttpSettings = field(default_factory=HttpSettings)

    def __post_init__(self) -> None:
        # With two, the loss of either one ends the controllers' quorum.
        reason = "a local cluster has 1 or 3 brokers"
        require(self.nodes in (1, 3), "local_brokers", self.local_brokers, reason)
        if self.external_brokers is not None:
            KafkaSettings(brokers=self.external_brokers)
            reason = f"none is started here besides the one at {self.external_brokers}: omit it"
            require(self.local_brokers is None, "local_brokers", self.local_brokers, reason)
        if self.external_clickhouse is not None:
            replace(self.clickhouse, url=self.external_clickhouse)
        else:
            check_passwords(self.clickhouse.password, self.clickhouse_server.password)
        require(self.stream_workers >= 0, "stream_workers", self.stream_workers, "must not be negative")
        require(self.sink_workers >= 0, "sink_workers", self.sink_workers, "must not be negative")

    @property
    def nodes(self) -> int:
        """Number of Kafka nodes in a stack without an external Kafka."""
        return 1 if self.local_brokers is None else self.local_brokers


class LocalStack:
    """Starts all parts in order, keeps them running, ends them in the reverse order.

    Args:
        settings: what to run.
        preparation: creates topics, database and tables.
        progress: called with a line for each step, and, when a part dies, with the end of its log.
        worker_flags: additional flags of the command lines of workers and pages, by `stream`, `sink`, `ui`.

    After `start` the addresses are in `addresses` and in `<data>/stack.json`. `start` raises
    `StackRunningError`, `MissingPartError`, `ProcessFailedError` or what `preparation` raises; in that case
    nothing is left running.
    """

    def __init__(
        self,
        settings: StackSettings,
        preparation: Preparation,
        progress: Progress,
        worker_flags: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._settings = settings
        self._preparation = preparation
        self._progress = progress
        self._worker_flags = worker_flags or {}
        self._data = Path(settings.data).resolve()
        self._password = settings.clickhouse.password or settings.clickhouse_server.password
        self._stores: list[SupervisedPart] = []
        self._workers: list[SupervisedPart] = []
        self._lock: int | None = None
        self._ready = False
        self._disks: asyncio.Task[None] | None = None
        self.addresses: StackAddresses

    async def __aenter__(self) -> LocalStack:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start and prepare broker and ClickHouse, then start the workers; returns when all are ready."""
        self._lock = lock_data(self._data)
        try:
            for name in end_leftovers(self._data):
                self._progress(f"{name}: ended a process that an earlier stack left running")
            pages = [PAGES] if self._settings.pages else []
            ports = steady_ports(self._data / "ports.json", ["clickhouse", *self._worker_names(), *pages])
            nodes: tuple[KafkaNode, ...] = ()
            if not self._settings.external_brokers:
                nodes = plan_nodes(self._data / "kafka", self._settings.nodes)
            url, own = self._settings.external_clickhouse, self._settings.external_clickhouse is None
            file = writers_password(self._data) if own and not self._password else None
            self._password = self._password if file is None else read_password(file)
            self.addresses = StackAddresses(
                brokers=self._settings.external_brokers or bootstrap(nodes),
                clickhouse_url=url or f"http://{HOST}:{ports['clickhouse']}",
                metrics_urls={
                    name: f"{served_at(self._settings.http, ports[name])}/metrics"
                    for name in self._worker_names()
                },
                data=self._data,
                clickhouse_user=self._settings.clickhouse.user if own else "",
                clickhouse_reader=self._settings.clickhouse_server.reader if own else "",
                password_file=file,
                reader_password=own and bool(self._settings.clickhouse_server.reader_password),
                pages_url=f"http://{HOST}:{ports[PAGES]}/" if pages else "",
            )
            folders = {name: self._data / name for name in ("kafka", "clickhouse", "stream")}
            watch = DiskWatch(folders, self._settings.disk, self._progress)
            self._disks = asyncio.create_task(watch.run(), name="disks")
            await all_of(self._prepare_kafka(nodes), self._prepare_clickhouse(ports["clickhouse"]))
            specs = [self._worker(name, ports[name]) for name in self._worker_names()]
            await all_of(*(self._start_part(spec, self._workers) for spec in specs))
            self._ready = True
            self._note()
            if pages:  # they find the stack as any command does
                flags = self._worker_flags.get(PAGES, ())
                await self._start_part(pages_part(ports[PAGES], self.addresses, flags), self._workers)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the workers, then broker and ClickHouse. Does nothing if it is not started."""
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        self._ready = False
        try:
            if self._disks is not None:
                await end_tasks([self._disks])
            await self._end(self._workers)
        finally:
            try:
                await self._end(self._stores)
                remove_stack(self._data)
            finally:
                os.close(lock)

    def children(self) -> dict[str, ChildProcess]:
        """The process of each part, by name: `kafka` or `kafka-1` to `kafka-3`, `clickhouse`, `stream-1`, ...

        A process that dies is restarted by the stack.
        """
        return {part.child.spec.name: part.child for part in [*self._stores, *self._workers]}

    def pids(self) -> dict[str, int]:
        """The process id of each part, by name."""
        return {name: child.pid for name, child in self.children().items() if child.pid is not None}

    async def _prepare_kafka(self, nodes: tuple[KafkaNode, ...]) -> None:
        await self._start_brokers(nodes)
        await self._preparation.kafka(self.addresses)

    async def _prepare_clickhouse(self, port: int) -> None:
        await self._start_clickhouse(port)
        await self._preparation.clickhouse(self.addresses)

    async def _start_brokers(self, nodes: tuple[KafkaNode, ...]) -> None:
        brokers = self.addresses.brokers
        if self._settings.external_brokers:
            kafka = replace(self._settings.kafka, brokers=brokers)
            if not any([await known_nodes(address, kafka) for address in kafka.addresses]):
                raise MissingPartError(
                    await why_unusable(kafka)
                    or f"no Kafka answers at {brokers}. Start it or correct the address, or omit it to have "
                    "a broker started here."
                )
            self._progress(f"kafka at {brokers} answers")
        # All at once: a node is in service only once most of them have found each other.
        await all_of(*(self._start_node(node, nodes) for node in nodes))

    async def _start_node(self, node: KafkaNode, nodes: tuple[KafkaNode, ...]) -> None:
        reserve = Reserve(node.folder, self._settings.disk)
        await reserve.until_there("kafka", self._progress)  # preparing it writes as well
        spec = await prepare_node(node, nodes, self._data / "logs", self._progress)
        await self._start_part(spec, self._stores, f" on {node.address}", reserve.lacks)

    async def _start_clickhouse(self, port: int) -> None:
        url = self.addresses.clickhouse_url
        if self._settings.external_clickhouse:
            from evometrics.sinks.clickhouse.client import ClickHouseUnavailable, open_client

            try:
                client = await open_client(replace(self._settings.clickhouse, url=url), database="default")
            except ClickHouseUnavailable as error:
                raise MissingPartError(f"{error}; omit its URL to have one started here") from error
            await client.close()
            self._progress(f"clickhouse at {url} answers")
            return
        user, log = self._settings.clickhouse.user, self._data / "logs" / "clickhouse.log"
        server = replace(self._settings.clickhouse_server, user=user, password=self._password)
        spec = clickhouse_process(self._data / "clickhouse", port, log, server)
        await self._start_part(spec, self._stores, f" on {url}")

    def _worker_names(self) -> list[str]:
        counts = {"stream": self._settings.stream_workers, "sink": self._settings.sink_workers}
        return [f"{kind}-{n}" for kind, count in counts.items() for n in range(1, count + 1)]

    def _worker(self, name: str, port: int) -> ProcessSpec:
        flags = self._worker_flags.get(name.partition("-")[0], ())
        env = login(self._settings.clickhouse, self._password) if name.startswith("sink") else {}
        return worker(name, port, self.addresses, self._settings.http, flags, env)

    async def _start_part(
        self,
        spec: ProcessSpec,
        parts: list[SupervisedPart],
        where: str = "",
        hold: Callable[[], str | None] = lambda: None,
    ) -> None:
        part = SupervisedPart(ChildProcess(spec), self._progress, self._note, hold)
        parts.append(part)
        began = time.monotonic()
        await part.start()
        self._note()
        self._progress(f"{spec.name} ready{where} after {time.monotonic() - began:.1f} s")

    async def _end(self, parts: list[SupervisedPart]) -> None:
        await asyncio.gather(*(part.stop() for part in parts))
        for part in parts:
            self._progress(f"{part.child.spec.name} stopped")
        parts.clear()

    def _note(self) -> None:
        if self._lock is not None:
            write_stack(self.addresses, self.pids(), self._ready)


async def all_of(*starts: Coroutine[None, None, None]) -> None:
    """Await all concurrently; if one fails, cancel the others and raise its error."""
    tasks = [asyncio.create_task(start) for start in starts]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        await end_tasks(tasks)
        raise
