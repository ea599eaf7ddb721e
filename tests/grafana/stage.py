"""The stack that is looked at: `evometrics up`, the demo, a node with load, and a Prometheus over all."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from evometrics.deploy.process.ports import HOST
from evometrics.producers import EvolutionMetricsCollector
from evometrics.schemas.service.tasks import end_tasks
from tests.alerts.node import config, evolve, port_of
from tests.alerts.prometheus import Prometheus
from tests.grafana.candidates import candidates
from tests.support.stack import Running, evometrics, running_stack

LOAD_SECONDS = 0.5
DEMO = ("--agents", "6", "--nodes", "2", "--evolutions", "40", "--seed", "7")
#: What a collector gives an event itself.
OWN = {"event_id", "node_id", "occurred_at", "started_at", "schema_version"}


@dataclass(frozen=True)
class Looked:
    """What is looked at.

    Attributes:
        clickhouse_url: address of ClickHouse.
        prometheus: that scrapes all parts, with the alert rules.
    """

    clickhouse_url: str
    prometheus: Prometheus


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Looked]:
    """Start it all, run the demo to its end, and record evolutions until left.

    Raises FileNotFoundError where there is no `prometheus`.
    """
    prometheus = Prometheus(folder / "prometheus")
    async with contextlib.AsyncExitStack() as stack:
        running = await asyncio.to_thread(stack.enter_context, running_stack(folder / "stack", 2))
        for part in ("sink", "stream"):
            prometheus.scrape(f"evometrics-{part}", *addresses(running, part))
        prometheus.start()
        stack.callback(prometheus.stop)
        await prometheus.until_ready()
        # it compares what was recorded with what is stored: nobody else may record meanwhile
        done = await asyncio.to_thread(evometrics, "demo", "--data", str(running.data), *DEMO, timeout=600)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        node = EvolutionMetricsCollector(config(running.brokers, str(folder / "node"), "node-of-candidates"))
        await node.start()
        stack.push_async_callback(node.stop)
        prometheus.scrape("evometrics-node", f"{HOST}:{port_of(node)}")
        for each in candidates():
            await node.record_evolution_completion(given(each))
        loading = asyncio.create_task(load(node), name="load")
        stack.push_async_callback(end_tasks, [loading])
        yield Looked(running.clickhouse_url, prometheus)


def addresses(running: Running, part: str) -> list[str]:
    """Return `host:port` of each worker of a kind."""
    urls = [url for name, url in running.metrics_urls.items() if name.startswith(part)]
    return [url.removeprefix("http://").removesuffix("/metrics") for url in urls]


def given(event: object) -> dict[str, object]:
    """Return an event as its caller gives it."""
    assert dataclasses.is_dataclass(event) and not isinstance(event, type)
    fields = {each.name: getattr(event, each.name) for each in dataclasses.fields(event)}
    return {name: value for name, value in fields.items() if name not in OWN and value is not None}


async def load(node: EvolutionMetricsCollector) -> None:
    """Record evolutions for ever."""
    while True:
        await evolve(node)
        await asyncio.sleep(LOAD_SECONDS)
