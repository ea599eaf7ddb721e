"""Stream workers on a real broker: one is paused, misses a rebalance, and writes late."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.partitioner import murmur2

from evometrics.deploy.kafka.broker import bootstrap, plan_nodes, prepare_node
from evometrics.deploy.pipeline.drain import STREAM_STAGES, ConsumerGroup, drain
from evometrics.deploy.pipeline.topics import create_topics
from evometrics.deploy.process.child import ChildProcess, ProcessSpec
from evometrics.deploy.process.ports import free_ports
from evometrics.deploy.process.readiness import answers
from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import BY_RECORD, TOPICS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.processors.computations import WORKS
from tests.support.generator import Load, generate
from tests.support.model import SECOND, differences, expected

PARTITIONS = 4
SESSION_SECONDS = 6
DERIVED = ("evolution_metrics", "kpi_deltas", "success_rates")
WIRE = WireFormat()


@dataclass
class Stream:
    """A broker of this test's own, and the workers of one group on it."""

    folder: Path
    broker: ChildProcess
    brokers: str
    workers: list[ChildProcess] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)

    async def add(self, instance: str = "", **env: str) -> ChildProcess:
        """Start another worker, under its own name if none is given."""
        name = f"stream-{len(self.urls) + 1}"
        (port,) = free_ports(1)
        self.urls[name] = f"http://127.0.0.1:{port}"
        instance = instance or name
        arguments = ["--brokers", self.brokers, "--data", str(self.folder / name), "--instance", instance]
        spec = ProcessSpec(
            name,
            (sys.executable, "-m", "evometrics.deploy.cli", "stream", *arguments, "--http-port", str(port)),
            self.folder / f"{name}.log",
            answers(f"{self.urls[name]}/health/ready"),
            env={"EVOMETRICS_STREAM_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS), **env},
        )
        worker = ChildProcess(spec)
        await worker.start()
        self.workers.append(worker)
        return worker

    async def drained(self) -> None:
        """Wait until the group has committed everything."""
        await drain(
            KafkaSettings(brokers=self.brokers),
            [ConsumerGroup("evometrics-stream", STREAM_STAGES)],
            timeout_seconds=180,
        )

    async def derived(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return what analysts would see: by record and event_id the row with the highest version."""
        topics = [t.name for t in TOPICS if t.record in {"evolution_metrics", "kpi_delta", "success_rate"}]
        consumer = AIOKafkaConsumer(*topics, bootstrap_servers=self.brokers, auto_offset_reset="earliest")
        await consumer.start()
        found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in DERIVED}
        try:
            ends = await consumer.end_offsets(list(consumer.assignment()))
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        event = WIRE.decode(record.value)
                        row, rows = event.to_record(), found[BY_RECORD[event.record].table]
                        known = rows.get(row["event_id"])
                        if known is None or row.get("version", 0) >= known.get("version", 0):
                            rows[row["event_id"]] = row
        finally:
            await consumer.stop()
        return found

    async def differences(self, load: Load) -> list[str]:
        """Compare what came out with the model."""
        model = expected([event for _, event in generate(load)], partition_of)
        found = await self.derived()
        return [text for name in DERIVED for text in differences(getattr(model, name), found[name])]


def partition_of(agent: str) -> int:
    return (murmur2(agent.encode()) & 0x7FFFFFFF) % PARTITIONS


def some_load(seed: int) -> Load:
    begin = (int(time.time()) - 40 * 3600) * SECOND
    return Load(seed=seed, begin=begin, agents=40, evolutions=500, nodes=3)


async def send(brokers: str, events: list[Event], pause: Callable[[], Any] | None = None) -> None:
    """Send events in order, some at a time, awaiting `pause` in between."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, enable_idempotence=True)
    await producer.start()
    try:
        for first in range(0, len(events), 40):
            sent = [
                await producer.send(BY_RECORD[e.record].name, WIRE.encode(e), key=e.key.encode())
                for e in events[first : first + 40]
            ]
            await asyncio.gather(*sent)
            if pause is not None:
                await pause()
    finally:
        await producer.stop()


def events_of(load: Load) -> list[Event]:
    return [event for _, event in generate(load)]


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    """A broker with the topics, and no worker yet."""
    nodes = plan_nodes(tmp_path / "kafka")
    broker = ChildProcess(await prepare_node(nodes[0], nodes, tmp_path / "logs", print))
    await broker.start()
    found = Stream(tmp_path, broker, bootstrap(nodes))
    try:
        await create_topics(KafkaSettings(brokers=found.brokers, partitions=PARTITIONS))
        yield found
    finally:
        for child in (*found.workers, broker):
            if child.pid is not None and child.running:
                os.kill(child.pid, signal.SIGCONT)
        await asyncio.gather(*(worker.stop() for worker in found.workers))
        await broker.stop()


@contextlib.contextmanager
def paused(child: ChildProcess) -> Iterator[None]:
    """A process that does not run meanwhile."""
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(child.pid, signal.SIGCONT)


async def until(holds: Callable[[], Any], what: str, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.2)


async def ready(url: str) -> bool:
    return await answers(f"{url}/health/ready")()


async def taken_over(url: str) -> bool:
    """Return whether each lane of a worker has taken over its partitions."""
    metrics = await asyncio.to_thread(lambda: urllib.request.urlopen(f"{url}/metrics").read().decode())
    lines = re.findall(r"^evometrics_stream_takeover_seconds_count\{.*\} (\S+)$", metrics, re.MULTILINE)
    assert len(lines) == len(WORKS)
    return all(float(count) > 0 for count in lines)


async def test_a_worker_paused_beyond_its_session_joins_again_and_harms_nothing(stream: Stream) -> None:
    load = some_load(2)
    zombie, other = await stream.add(), await stream.add()
    for url in stream.urls.values():
        await until(lambda url=url: taken_over(url), "states that are there before the first event")
    events = events_of(load)
    third = len(events) // 3
    sending = asyncio.create_task(send(stream.brokers, events[:third], lambda: asyncio.sleep(0.05)))
    await asyncio.sleep(1)
    with paused(zombie):
        await sending
        # the other worker takes over and goes beyond where the paused one stands
        await send(stream.brokers, events[third : 2 * third])
        await stream.drained()
    await until(lambda: ready(stream.urls["stream-1"]), "the paused worker's return")
    await send(stream.brokers, events[2 * third : -third // 2])
    await stream.drained()
    # what the zombie has now it knows from the changelog, for it continues alone
    await other.stop()
    await send(stream.brokers, events[-third // 2 :])
    await stream.drained()
    assert zombie.running
    assert await stream.differences(load) == []


def begun(number: int, at: int) -> EvolutionStarted:
    return EvolutionStarted(
        event_id=new_event_id(), agent_id=f"a{number}", node_id="n", occurred_at=at, evolution_id=f"e{number}"
    )


def ended(number: int, at: int) -> EvolutionCompleted:
    return EvolutionCompleted(
        event_id=new_event_id(),
        agent_id=f"a{number}",
        node_id="n",
        occurred_at=at,
        started_at=at,
        evolution_id=f"e{number}",
        status="succeeded",
        success=True,
    )


async def test_evolutions_that_died_with_their_node_are_reported_though_no_event_comes(
    stream: Stream,
) -> None:
    worker = await stream.add(EVOMETRICS_STREAM_ABANDONED_AFTER_SECONDS="2")
    now = int(time.time() * SECOND)
    # one of each continues after a crash of the worker: it finds the open ones in its states
    await send(stream.brokers, [begun(n, now) for n in range(4)] + [ended(0, now)])
    await stream.drained()
    await worker.stop()
    await stream.add(EVOMETRICS_STREAM_ABANDONED_AFTER_SECONDS="2")

    async def reported() -> bool:
        return len(statuses(await stream.derived())) == 4

    await until(reported, "reports of the abandoned")
    assert statuses(await stream.derived()) == {
        "e0": "succeeded",
        "e1": "abandoned",
        "e2": "abandoned",
        "e3": "abandoned",
    }
    await send(stream.brokers, [begun(9, now)])
    await until(lambda: said(stream, "e9"), "the report of one that began later")


async def said(stream: Stream, evolution: str) -> bool:
    return evolution in statuses(await stream.derived())


def statuses(derived: dict[str, dict[str, dict[str, Any]]]) -> dict[str, str]:
    return {row["evolution_id"]: row["status"] for row in derived["evolution_metrics"].values()}
