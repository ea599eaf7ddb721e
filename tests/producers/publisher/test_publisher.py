"""Publishing: in order per agent, deleted only after the acknowledgement, nothing lost in an outage."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.partitioner import DefaultPartitioner

from evometrics.deploy.kafka.broker import bootstrap, plan_nodes, prepare_node
from evometrics.deploy.pipeline.topics import create_topics
from evometrics.deploy.process.child import ChildProcess
from evometrics.producers import EvolutionMetricsCollector
from evometrics.producers.outbox.dead_outboxes import dead_outboxes
from evometrics.producers.outbox.file import OutboxFile
from evometrics.producers.publisher import publisher as publishing
from evometrics.producers.publisher import session as kafka_session
from evometrics.schemas.events import EvolutionProgressed, SystemEvent
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import (
    EVOLUTION_COMPLETED,
    EVOLUTION_PROGRESSED,
    EVOLUTION_STARTED,
    SYSTEM_EVENTS,
)
from evometrics.schemas.wire.framing import WireFormat
from tests.producers.outbox.test_outbox import RECORD_UNTIL_KILLED
from tests.support.outboxes import Arrived, arrived, collecting, files, left_in, until, waiting


@pytest.fixture(scope="module")
def own_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ChildProcess]]:
    """A broker of these tests' own: they delete and configure topics, and kill it."""
    folder = tmp_path_factory.mktemp("kafka")
    nodes = plan_nodes(folder)

    async def start() -> ChildProcess:
        node = ChildProcess(await prepare_node(nodes[0], nodes, folder / "logs", lambda *_: None))
        await node.start()
        await create_topics(KafkaSettings(brokers=bootstrap(nodes)))
        return node

    node = asyncio.run(start())
    yield bootstrap(nodes), node
    asyncio.run(node.stop())


@pytest.fixture
def broker(own_node: tuple[str, ChildProcess]) -> str:
    """`host:port` of a broker with the raw topics."""
    return own_node[0]


def config(folder: Path, brokers: str, **more: Any) -> dict[str, Any]:
    node = f"node-{uuid.uuid4().hex[:8]}"
    return {"db_path": str(folder / "ev.db"), "brokers": brokers, "node_id": node, **more}


def iterations(messages: list[Arrived]) -> dict[str, list[int]]:
    """Return each agent's iterations in the order the broker has them."""
    by_agent: dict[str, list[int]] = defaultdict(list)
    for message in messages:
        if isinstance(message.event, EvolutionProgressed):
            by_agent[message.event.agent_id].append(message.event.iteration)
    return by_agent


async def progress(collector: EvolutionMetricsCollector, agent: str, numbers: range) -> None:
    for number in numbers:
        await collector.record_evolution_progress(agent, number, 0.5, evolution_id="e")


async def test_all_that_was_recorded_arrives_once_in_order_at_its_keys_partition(
    broker: str, tmp_path: Path
) -> None:
    given = config(tmp_path, broker)
    async with collecting(given) as collector:
        await asyncio.gather(*(progress(collector, f"agent-{n}", range(40)) for n in range(50)))
        async with collector.evolution("agent-0") as run:
            await run.complete(post_kpis={"accuracy": 0.5})
        assert await collector.drain(30)
        assert not waiting(collector)
    messages = await arrived(broker, given["node_id"])
    assert iterations(messages) == {f"agent-{n}": list(range(40)) for n in range(50)}
    assert len({m.event.event_id for m in messages}) == len(messages)
    assert Counter(m.topic for m in messages) == collector.recorded == collector.published
    assert {m.topic for m in messages} >= {EVOLUTION_STARTED.name, EVOLUTION_COMPLETED.name}
    numbers = list(range(KafkaSettings().partitions))
    for message in messages:
        partition = DefaultPartitioner()(message.event.key.encode(), numbers, numbers)
        assert message.partition == partition
    assert files(tmp_path) == [], "everything is sent: no outbox is left"


async def test_what_a_killed_process_left_is_adopted_and_sent_before_what_is_new(
    broker: str, tmp_path: Path
) -> None:
    db_path = tmp_path / "ev.db"
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RECORD_UNTIL_KILLED.replace('"killed"', "sys.argv[2]"),
        str(db_path),
        node := f"killed-{uuid.uuid4().hex[:8]}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert child.stdout is not None
    for _ in range(300):
        await asyncio.wait_for(child.stdout.readline(), 30)
    os.kill(child.pid, signal.SIGKILL)
    await child.stdout.read()
    await child.wait()
    left = [event.event_id for event in left_in(tmp_path)]
    async with collecting(config(tmp_path, broker, node_id=node)) as collector:
        await collector.record_system_event("after the crash")
        assert await collector.drain(30)
    found = [m.event for m in await arrived(broker, node) if isinstance(m.event, SystemEvent)]
    assert [e.event_id for e in found[: len(left)]] == left
    assert found[len(left)].event_type == "after the crash"
    assert list(dead_outboxes(db_path)) == []


async def test_stop_leaves_what_it_could_not_send_for_the_next_start(broker: str, tmp_path: Path) -> None:
    away = config(tmp_path, "127.0.0.1:1", stop_timeout=0.1)
    async with collecting(away) as collector:
        await progress(collector, "agent", range(10))
    assert len(left_in(tmp_path)) == 11
    async with collecting({**away, "brokers": broker}) as collector:
        assert collector.outbox_depth == 11
        await progress(collector, "agent", range(10, 20))
        assert await collector.drain(30)
    assert iterations(await arrived(broker, away["node_id"])) == {"agent": list(range(20))}


async def test_a_collector_started_again_sends_what_it_had_left_and_what_is_new(
    broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = config(tmp_path, broker, stop_timeout=0)
    collector = EvolutionMetricsCollector(given)
    monkeypatch.setattr(publishing, "WINDOW_ROWS", 0)
    await collector.start()
    await progress(collector, "agent", range(10))
    await collector.stop()
    monkeypatch.undo()
    await collector.start()
    await progress(collector, "agent", range(10, 20))
    assert await collector.drain(30)
    await collector.stop()
    assert iterations(await arrived(broker, given["node_id"])) == {"agent": list(range(20))}


async def test_a_process_that_dies_later_is_adopted_while_running(broker: str, tmp_path: Path) -> None:
    given = config(tmp_path, broker, flush_interval=0.1)
    async with collecting(given) as collector:
        other = config(tmp_path, "127.0.0.1:1", node_id=given["node_id"], stop_timeout=0)
        async with collecting(other) as dying:
            await progress(dying, "agent", range(10))
        await until(lambda: collector.published.get(EVOLUTION_PROGRESSED.name) == 10)
    assert iterations(await arrived(broker, given["node_id"])) == {"agent": list(range(10))}


async def test_a_busy_event_loop_does_not_hold_up_sending(broker: str, tmp_path: Path) -> None:
    async with collecting(config(tmp_path, broker)) as collector:
        await progress(collector, "agent", range(10))
        deadline = asyncio.get_running_loop().time() + 20
        while collector.outbox_depth and asyncio.get_running_loop().time() < deadline:
            sum(range(10_000))  # never awaits, as an evolution that computes
        assert collector.published[EVOLUTION_PROGRESSED.name] == 10


async def test_rows_count_towards_the_window_until_they_are_deleted_on_disk(
    broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, original, window = threading.Event(), OutboxFile.write, 200

    def stalls_where_it_deletes(self: OutboxFile, rows: Any, sent: Any) -> None:
        if sent:
            disk.wait(60)
        original(self, rows, sent)

    given = config(tmp_path, broker)
    async with collecting({**given, "brokers": "127.0.0.1:1", "stop_timeout": 0}) as dead:
        await asyncio.gather(*(progress(dead, "agent-0", range(n, n + 1)) for n in range(300)))
    monkeypatch.setattr(publishing, "WINDOW_ROWS", window)
    async with collecting(given) as collector:
        outbox, publisher = collector.outbox, collector.sending.publisher
        assert publisher is not None
        assert await collector.drain(30), "what the dead one left is deleted as it is acknowledged"
        before = sum(collector.published.values())
        monkeypatch.setattr(publishing, "WINDOW_ROWS", 0)
        await asyncio.gather(*(progress(collector, "agent-1", range(n, n + 1)) for n in range(3000)))
        monkeypatch.setattr(OutboxFile, "write", stalls_where_it_deletes)
        monkeypatch.setattr(publishing, "WINDOW_ROWS", window)
        publisher.wake()
        await until(lambda: sum(collector.published.values()) - before >= window)
        for _ in range(10):
            assert sum(collector.published.values()) - before == window
            assert publisher.lanes.rows + outbox.undeleted == window
            await asyncio.sleep(0.05)
        disk.set()
        assert await collector.drain(60)
    messages = iterations(await arrived(broker, given["node_id"]))
    assert messages == {"agent-0": list(range(300)), "agent-1": list(range(3000))}


async def set_limit(brokers: str, topic: str, limit: int) -> None:
    """Set the largest message of a topic; returns once the broker goes by it, which takes it a moment."""
    name = "max.message.bytes"
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: str(limit)})])
    asked = ConfigResource(ConfigResourceType.TOPIC, topic, {name: ""})
    while str(limit) not in str(await admin.describe_configs([asked])):  # noqa: ASYNC110 - Kafka tells nobody
        await asyncio.sleep(0.05)
    await admin.close()


async def test_a_message_the_broker_refuses_for_good_goes_out_of_the_way(
    broker: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topic = SYSTEM_EVENTS.name
    given = config(tmp_path, broker)
    await set_limit(broker, topic, 50_000)
    try:
        async with collecting(given) as collector:
            recording = [
                collector.record_system_event(
                    "note", {"number": n, "text": "x" * (90_000 if n == 7 else 500)}
                )
                for n in range(200)
            ]
            ids = [await r for r in recording]
            assert await collector.drain(60)
            await until(lambda: collector.recorded[topic] == 201, 20)
            assert await collector.drain(30)
    finally:
        await set_limit(broker, topic, 2_000_000)
    notes = [m.event for m in await system_events(given) if m.event.event_type == "note"]
    assert [json.loads(e.data)["number"] for e in notes] == [n for n in range(200) if n != 7]
    ((refused_topic, _, value, reason, _),) = collector.sending.refused.all()
    assert refused_topic == topic
    assert WireFormat().decode(value).event_id == ids[7]
    assert "MessageSizeTooLarge" in reason
    (report,) = [m.event for m in await system_events(given) if m.event.event_type == "event_refused"]
    assert json.loads(report.data)["topic"] == topic
    assert "permanently" in caplog.text


async def system_events(given: dict[str, Any]) -> list[Any]:
    return [m for m in await arrived(given["brokers"], given["node_id"]) if isinstance(m.event, SystemEvent)]


async def test_a_missing_topic_is_named_with_the_way_out(
    broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kafka_session, "TOPIC_TIMEOUT", 1.0)
    gone = EVOLUTION_PROGRESSED.name
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.delete_topics([gone])
    try:
        given = config(tmp_path, broker)
        async with collecting(given) as collector:
            await progress(collector, "agent", range(3))
            await until(lambda: "evometrics topics" in caplog.text)
            assert gone in caplog.text
            await create_topics(KafkaSettings(brokers=broker))
            assert await collector.drain(30)
        assert iterations(await arrived(broker, given["node_id"])) == {"agent": [0, 1, 2]}
    finally:
        await create_topics(KafkaSettings(brokers=broker))
        await admin.close()


async def test_a_broker_that_hangs_is_left_for_a_new_session_and_loses_nothing(
    own_node: tuple[str, ChildProcess],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(publishing, "STALL", 0.6)
    monkeypatch.setattr(publishing, "CHECK", 0.2)
    monkeypatch.setattr(publishing, "CONNECT_TIMEOUT", 1.0)
    brokers, node = own_node
    given = config(tmp_path, brokers)
    async with collecting(given) as collector:
        await progress(collector, "agent", range(10))
        assert await collector.drain(30)
        assert node.pid is not None
        os.kill(node.pid, signal.SIGSTOP)
        try:
            await progress(collector, "agent", range(10, 300))
            await until(lambda: "no acknowledgement" in caplog.text)
            await until(lambda: collector.sending.publisher and collector.sending.publisher.attempt >= 2)
            assert collector.outbox_depth == 290
        finally:
            os.kill(node.pid, signal.SIGCONT)
        assert await collector.drain(60)
        assert collector.sending.background.loop is not None
        tasks = asyncio.all_tasks(collector.sending.background.loop)
        assert len(tasks) < 12, "the sessions that were given up leave nothing running"
    messages = [m for m in await arrived(brokers, given["node_id"]) if m.topic == EVOLUTION_PROGRESSED.name]
    # What the hung broker had already received appears twice, under the same event_id.
    first = list({m.event.event_id: m for m in reversed(messages)}.values())[::-1]
    assert iterations(first) == {"agent": list(range(300))}


async def test_a_broker_killed_under_load_and_back_loses_nothing_and_keeps_the_order(
    own_node: tuple[str, ChildProcess], tmp_path: Path
) -> None:
    brokers, node = own_node
    given = config(tmp_path / "outbox", brokers)
    async with collecting(given) as collector:
        recording = True
        recorded = Counter[str]()

        async def record(agent: str) -> None:
            while recording:
                await progress(collector, agent, range(recorded[agent], recorded[agent] + 1))
                recorded[agent] += 1
                await asyncio.sleep(0.002)

        tasks = [asyncio.create_task(record(f"agent-{n}")) for n in range(10)]
        await asyncio.sleep(1)
        assert node.pid is not None
        os.kill(node.pid, signal.SIGKILL)
        enough = recorded.total() + 100
        try:  # recording continues while the broker is unreachable, as fast as the disk takes it
            await until(lambda: recorded.total() >= enough, seconds=60)
        finally:
            await node.start()
        await asyncio.sleep(1)
        recording = False
        await asyncio.gather(*tasks)
        assert await collector.drain(60)
    messages = [m for m in await arrived(brokers, given["node_id"]) if m.topic == EVOLUTION_PROGRESSED.name]
    first = list({m.event.event_id: m for m in reversed(messages)}.values())[::-1]
    assert iterations(first) == {agent: list(range(count)) for agent, count in recorded.items()}


async def test_a_damaged_outbox_is_sent_as_far_as_it_can_be_read_and_its_loss_is_an_event(
    broker: str, tmp_path: Path
) -> None:
    node = f"damaged-{uuid.uuid4().hex[:8]}"
    async with collecting(config(tmp_path, "127.0.0.1:1", node_id=node, stop_timeout=0)) as collector:
        await progress(collector, "agent", range(300))
    (path,) = (path for path in files(tmp_path) if path.suffix == ".db")
    content = bytearray(path.read_bytes())
    content[3 * 16_384 : 4 * 16_384] = bytes(16_384)
    path.write_bytes(content)
    async with collecting(config(tmp_path, broker, node_id=node)) as collector:
        assert await collector.drain(30)
    events = [message.event for message in await arrived(broker, node)]
    (report,) = (e for e in events if isinstance(e, SystemEvent) and e.event_type == "outbox_damaged")
    data = json.loads(report.data)
    iterations = [e.iteration for e in events if isinstance(e, EvolutionProgressed)]
    assert iterations == sorted(set(iterations))
    assert data["lost"] > 0
    assert 100 < len(iterations) < 300
    assert data["read"] >= len(iterations)
    assert {file.name.removesuffix("-wal").removesuffix("-shm") for file in files(tmp_path)} == {
        path.name + ".damaged"
    }
