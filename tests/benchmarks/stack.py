"""The real parts that contenders work on: a Kafka node, a ClickHouse front, and what runs between them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.kafka.broker import KafkaNode, bootstrap, plan_nodes, prepare_node
from evometrics.deploy.pipeline.topics import create_topics
from evometrics.deploy.process.child import ChildProcess, ProcessSpec
from evometrics.deploy.process.ports import HOST, free_ports
from evometrics.deploy.process.readiness import answers
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.sinks.migrations.migrate import migrate
from evometrics.sinks.settings import ClickHouseSettings
from tests.benchmarks.say import say

ROOT = Path(__file__).parents[2]
ANSWER_SECONDS = 120
BROKERS = "EVOMETRICS_KAFKA_BROKERS"
READY_SECONDS = 120


@dataclass
class Stack:
    """Kafka and ClickHouse with topics and tables, and the contenders of a round.

    Attributes:
        folder: everything they write.
        partitions: of each topic.
        children: every process by its part's name.
        ready_urls: where a worker says whether it works.
    """

    folder: Path
    partitions: int = 6
    with_kafka: bool = True
    with_clickhouse: bool = True
    kafka: KafkaSettings = field(init=False)
    clickhouse: ClickHouseSettings = field(init=False)
    children: dict[str, ChildProcess] = field(default_factory=dict)
    ready_urls: dict[str, str] = field(default_factory=dict)

    async def __aenter__(self) -> Stack:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start Kafka and ClickHouse; make topics and tables."""
        if self.with_kafka:
            nodes = plan_nodes(self.folder / "kafka")
            await self.child("kafka", await self.node(nodes, self.folder / "logs"))
            self.kafka = KafkaSettings(brokers=bootstrap(nodes), partitions=self.partitions)
            await create_topics(self.kafka)
        if not self.with_clickhouse:
            return
        (port,) = free_ports(1)
        log = self.folder / "logs" / "clickhouse.log"
        await self.child("clickhouse", clickhouse_process(self.folder / "clickhouse", port, log))
        self.clickhouse = ClickHouseSettings(url=f"http://{HOST}:{port}")
        await migrate(self.clickhouse)

    async def node(self, nodes: tuple[KafkaNode, ...], logs: Path) -> ProcessSpec:
        """Write the broker's files, and return how to run it."""
        return await prepare_node(nodes[0], nodes, logs, say)

    async def stop(self) -> None:
        """End everything, the latest first; nothing of it is needed again."""
        for name in reversed(list(self.children)):
            await self.end(name, quick=True)

    async def child(self, name: str, spec: ProcessSpec) -> ChildProcess:
        """Start a process and wait until it is ready."""
        process = self.children[name] = ChildProcess(spec)
        await process.start()
        return process

    async def end(self, name: str, *, quick: bool = False) -> None:
        """End a process; quick: without a chance to tidy up."""
        process = self.children.pop(name)
        if quick:
            await asyncio.to_thread(process.kill)
        else:
            await process.stop()

    async def worker(self, kind: str, group: str, name: str = "", **environment: str) -> ChildProcess:
        """Start `evometrics stream` or `evometrics sink` as people do, in a consumer group of its own.

        `environment`: variables; where `EVOMETRICS_KAFKA_BROKERS` is among them, it goes to these brokers.
        """
        name = name or kind
        (port,) = free_ports(1)
        argv = ["-m", "evometrics.deploy.cli", kind]
        argv += [] if BROKERS in environment else ["--brokers", self.kafka.brokers]
        argv += ["--data", str(self.folder / f"{group}-{name}"), "--http-port", str(port)]
        argv += ["--instance", name] if kind == "stream" else ["--clickhouse-url", self.clickhouse.url]
        variables = {f"EVOMETRICS_{kind.upper()}_GROUP": group, **environment}
        url = self.ready_urls[name] = f"http://{HOST}:{port}/health/ready"
        return await self.python(name, argv, variables, url)

    async def python(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None, ready: str = ""
    ) -> ChildProcess:
        """Start a Python process; `ready` is a URL that answers 200 once it works, none = at once."""

        async def at_once() -> bool:
            return True

        spec = ProcessSpec(
            name=name,
            argv=(sys.executable, *argv),
            log=self.folder / "logs" / f"{name}.log",
            env={"PYTHONPATH": str(ROOT), **(environment or {})},
            ready=answers(ready) if ready else at_once,
            ready_timeout=READY_SECONDS,
        )
        return await self.child(name, spec)

    async def job(self, name: str, argv: Sequence[str], seconds: float) -> Any:
        """Run a Python process to its end; return the JSON that its last line of output is."""
        child = await self.python(name, argv)
        try:
            await asyncio.wait_for(child.wait(), seconds)
            if child.exit_code != 0:
                raise RuntimeError(f"{name} {child.describe_exit()}\n{child.log_tail()}")
            return json.loads(child.spec.log.read_text().splitlines()[-1])
        finally:
            await self.end(name, quick=True)

    def pids(self, *names: str) -> dict[str, int]:
        """Return the process ids of parts by name; of all where none is named."""
        wanted = names or tuple(self.children)
        return {n: c.pid for n in wanted if (c := self.children.get(n)) is not None and c.pid is not None}

    def broken(self, names: Iterable[str]) -> str:
        """Return which of some parts have failed, empty for none; one that has done its work has not."""
        children = [self.children[name] for name in names]
        return ", ".join(
            f"{c.spec.name} {c.describe_exit()}" for c in children if c.exit_code not in (None, 0)
        )

    def tails(self, names: Iterable[str]) -> str:
        """Return the ends of some parts' logs."""
        return "\n".join(self.children[name].log_tail() for name in names)

    def signal(self, names: Iterable[str], number: signal.Signals) -> None:
        """Send a signal to some parts."""
        for pid in self.pids(*names).values():
            os.kill(pid, number)

    async def sql(self, query: str) -> list[list[str]]:
        """Return a query's rows as text."""
        body = await asyncio.to_thread(ask, self.clickhouse.url, query)
        return [line.split("\t") for line in body.decode().splitlines()]

    async def number(self, query: str) -> int:
        """Return the one number a query gives."""
        return int((await self.sql(query))[0][0])

    async def renew_topics(self, keep: Iterable[str], more: Iterable[str] = ()) -> None:
        """Empty every topic but those to keep, drop what contenders made for themselves, make some more."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.brokers)
        await admin.start()
        try:
            kept = {*keep, "__consumer_offsets", "__transaction_state", "__share_group_state"}
            doomed = [name for name in await admin.list_topics() if name not in kept]
            await admin.delete_topics(doomed)
            while set(doomed) & set(await admin.list_topics()):  # noqa: ASYNC110 - Kafka tells nobody
                await asyncio.sleep(0.2)
        finally:
            await admin.close()
        await create_topics(self.kafka)
        new = [NewTopic(name, self.partitions, 1) for name in more]
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.brokers)
        await admin.start()
        try:
            await admin.create_topics(new)
        finally:
            await admin.close()


def ask(url: str, query: str) -> bytes:
    """Return ClickHouse's answer to a query; blocking."""
    text = urllib.parse.urlencode({"query": query, "database": "evometrics"})
    request = urllib.request.Request(f"{url}/?{text}", method="POST", data=b"")
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        body: bytes = answer.read()
        return body
