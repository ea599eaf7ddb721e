"""The stack, its steady load and its Prometheus; what the faults act on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from evometrics.deploy.process.ports import HOST
from evometrics.producers import EvolutionMetricsCollector
from evometrics.schemas.service.tasks import end_tasks
from tests.alerts.node import config, evolve, port_of
from tests.alerts.prometheus import Prometheus
from tests.faults.parts import ROOT, Parts, process_environment

BROKERS, STREAMS, SINKS = 3, 1, 2
LOAD_SECONDS = 0.25


@dataclass
class Stage:
    """What runs.

    Attributes:
        node: a node in this process, with the steady load.
        gain: by how much its evolutions improve; None = it records none.
        nodes: addresses of the nodes' metrics, by name.
    """

    folder: Path
    parts: Parts
    prometheus: Prometheus
    node: EvolutionMetricsCollector
    gain: float | None = 0.1
    nodes: dict[str, str] = field(default_factory=dict)

    async def load(self) -> None:
        """Record evolutions for ever."""
        while True:
            if self.gain is not None:
                await evolve(self.node, gain=self.gain)
            await asyncio.sleep(LOAD_SECONDS)

    def show_nodes(self) -> None:
        self.prometheus.scrape("evometrics-node", *self.nodes.values())

    @asynccontextmanager
    async def another_node(self, name: str, **more: object) -> AsyncIterator[EvolutionMetricsCollector]:
        """Run one more node in this process, in a folder of its own unless `db_path` is given."""
        given = config(self.parts.kafka.brokers, str(self.folder / name), name)
        collector = EvolutionMetricsCollector(given | more)
        await collector.start()
        self.nodes[name] = f"{HOST}:{port_of(collector)}"
        self.show_nodes()
        try:
            yield collector
        finally:
            await collector.stop()
            self.forget(name)

    def forget(self, name: str) -> None:
        del self.nodes[name]
        self.show_nodes()

    async def node_process(self, name: str) -> asyncio.subprocess.Process:
        """Start a node in a process of its own; it is scraped from then on."""
        arguments = (self.parts.kafka.brokers, str(self.folder / name), name)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.alerts.node", *arguments), stdout=asyncio.subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout is not None
        port = (await process.stdout.readline()).decode().strip()
        self.nodes[name] = f"{HOST}:{port}"
        self.show_nodes()
        return process

    def pid(self, part: str) -> int:
        pid = self.parts.children[part].pid
        assert pid is not None
        return pid

    @contextmanager
    def paused(self, *parts: str) -> Iterator[None]:
        """Stop parts as a machine that swaps does: they hold their connections, and do nothing."""
        pids = [self.pid(part) for part in parts]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @asynccontextmanager
    async def unreachable(self, *servers: str) -> AsyncIterator[None]:
        """Cut servers off from all their clients."""
        proxies = [self.parts.proxies[server] for server in servers]
        for proxy in proxies:
            await proxy.cut(None, 3600)
        try:
            yield
        finally:
            for proxy in proxies:
                proxy.cut_until.clear()

    @property
    def brokers(self) -> list[str]:
        return [f"kafka-{number}" for number in range(1, BROKERS + 1)]


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """Start three brokers, ClickHouse, a stream worker, two sinks, a node with load, and Prometheus."""
    parts = Parts(folder, BROKERS, process_environment(), lambda line: print(f"  {line}", file=sys.stderr))
    prometheus = Prometheus(folder / "prometheus")
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(parts.stop)
        await parts.start(STREAMS, SINKS)
        for kind in ("sink", "stream"):
            addresses = [
                each.removeprefix("http://").removesuffix("/health")
                for name, each in parts.health.items()
                if name.startswith(kind)
            ]
            prometheus.scrape(f"evometrics-{kind}", *addresses)
        node = EvolutionMetricsCollector(config(parts.kafka.brokers, str(folder / "node-1"), "node-1"))
        await node.start()
        stack.push_async_callback(node.stop)
        stage = Stage(folder, parts, prometheus, node, nodes={"node-1": f"{HOST}:{port_of(node)}"})
        loading = asyncio.create_task(stage.load(), name="load")
        stack.push_async_callback(end_tasks, [loading])
        stage.show_nodes()
        prometheus.start()
        stack.callback(prometheus.stop)
        await prometheus.until_ready()
        yield stage
