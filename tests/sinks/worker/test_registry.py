"""A sink and a node with a registry: what comes in a newer version, and what happens during its outage."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import uuid
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from evometrics.producers import EvolutionMetricsCollector
from evometrics.schemas.events import Event
from evometrics.schemas.topics import EVOLUTION_PROGRESSED, Topic
from evometrics.schemas.wire.catalog import newest, writer_schema
from evometrics.schemas.wire.datum import write_record
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.registry import RegistryClient, RegistryUnavailable
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.batch import Batch, Partition, add_fetched
from tests.support.changed_schemas import optional, with_fields
from tests.support.registry.server import RegistryServer
from tests.support.sinks import Kafka, Sent, eventually, one_of_each, rows, running, until_stored

RECORD = "evolution_progressed"
CURRENT = newest(RECORD).source
NEWER = with_fields(RECORD, optional("loss", "double"))
NEWEST = with_fields(RECORD, optional("loss", "double"), optional("optimizer", "string"))
BROKEN = with_fields(RECORD, {"name": "fitness", "type": "string", "doc": "as text"})


def event(agent: str) -> Event:
    return next(e for e in one_of_each(agent) if e.record == RECORD)


def message(client: RegistryClient, subject: str, source: dict[str, Any], agent: str, **more: Any) -> bytes:
    """Return an event's message as a producer with that schema sends it."""
    number = client.register(subject, source)
    record = {**event(agent).to_record(), **more}
    return b"\0" + number.to_bytes(4, "big") + write_record(writer_schema(RECORD, 0, source), record)


async def send(kafka: Kafka, *values: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.settings.brokers)
    await producer.start()
    for value in values:  # one after the other, in one partition
        await producer.send_and_wait(EVOLUTION_PROGRESSED.name, value, key=b"k", partition=0)
    await producer.stop()


async def test_the_event_loop_goes_on_while_a_registry_hangs(registry_server: RegistryServer) -> None:
    """Else the sink's heartbeats stop, and the group revokes its partitions."""
    pid = registry_server.child.pid
    assert pid is not None
    value = b"\0" + (99999).to_bytes(4, "big") + b"abc"
    partition = Partition(EVOLUTION_PROGRESSED.name, 0)
    wire = WireFormat(RegistryClient(registry_server.url, timeout=1.0))
    os.kill(pid, signal.SIGSTOP)
    try:
        fetched = {partition: [Sent(*partition, 0, 0, b"k", value)]}
        adding = asyncio.create_task(add_fetched(Batch(), fetched, wire))
        beats = 0
        while not adding.done():
            await asyncio.sleep(0.02)
            beats += 1
        assert beats > 10
        with pytest.raises(RegistryUnavailable, match="timed out"):
            await adding
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_nothing_is_lost_while_the_registry_is_away_and_what_breaks_ours_is_set_aside(
    broker: Kafka, database: ClickHouseSettings, registry_server: RegistryServer, tmp_path: Path
) -> None:
    broker.settings = dataclasses.replace(broker.settings, registry_url=registry_server.url)
    client = RegistryClient(registry_server.url)
    subject = EVOLUTION_PROGRESSED.subject
    known = [message(client, subject, CURRENT, "known", fitness=n) for n in (1.0, 2.0, 3.0)]
    newer = [message(client, uuid.uuid4().hex, NEWER, "newer", loss=n) for n in (0.5, None)]
    latest = message(client, uuid.uuid4().hex, NEWEST, "latest", loss=0.25, optimizer="adam")
    broken = message(client, uuid.uuid4().hex, BROKEN, "broken", fitness="high")
    config = {"brokers": broker.settings.brokers, "registry_url": registry_server.url, "node_id": "n"}
    collector = EvolutionMetricsCollector({**config, "db_path": str(tmp_path / "ev.db"), "stop_timeout": 30})
    async with running(broker, database) as worker:
        await send(broker, known[0], newer[0])
        await until_stored(database, "evolution_progressed", 2)
        sql = "SELECT agent_id, fitness, loss FROM evolution_progressed ORDER BY agent_id, fitness"
        assert await rows(database, sql) == [("known", 1.0, None), ("newer", 0.5, 0.5)]

        await registry_server.stop()
        await collector.start()
        try:
            recorded = [
                await collector.record_evolution_progress("away", n, 0.0, evolution_id="e") for n in range(20)
            ]
            assert None not in recorded
            await send(broker, known[1], newer[1])  # their ids were met before
            await until_stored(database, "evolution_progressed", 4)
            await send(broker, latest, broken, known[2])
            assert worker.cycle is not None
            cycle = worker.cycle

            async def waits() -> bool:
                return cycle.registry_failures > 1 and "schema registry" in collector.sending.problem

            await eventually(waits, "sink and node to notice")
            assert collector.outbox_depth >= 20
            standing, tries = await worker.look(), cycle.registry_failures
            assert "schema registry does not answer" in (standing.away or "") and worker.ready()

            async def tries_again() -> bool:
                return cycle.registry_failures > tries

            await eventually(tries_again, "another try")
            assert (await worker.look()).progress == standing.progress, "an attempt is not progress"
        finally:
            await registry_server.start()
        assert await collector.drain(30)
        await until_stored(database, "evolution_progressed", 26)
        assert (await worker.look()).away is None and worker.ready() is None
        await collector.stop()
    sql = "SELECT agent_id, count(), countIf(loss IS NOT NULL), any(optimizer) FROM evolution_progressed "
    assert await rows(database, f"{sql} GROUP BY agent_id ORDER BY agent_id") == [
        ("away", 20, 0, None),
        ("known", 3, 0, None),
        ("latest", 1, 1, "adam"),
        ("newer", 2, 1, None),
    ]
    ((reason,),) = await rows(database, "SELECT reason FROM dead_letters")
    assert "not compatible with v3: EvolutionProgressed.fitness: type changed" in reason


async def test_a_node_whose_schema_is_refused_says_so_by_field_and_keeps_its_events(
    broker: Kafka, registry_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = uuid.uuid4().hex
    monkeypatch.setattr(Topic, "subject", property(lambda topic: f"{own}-{topic.name}"))
    RegistryClient(registry_url).register(EVOLUTION_PROGRESSED.subject, BROKEN)
    config = {"brokers": broker.settings.brokers, "registry_url": registry_url, "node_id": "n"}
    collector = EvolutionMetricsCollector({**config, "db_path": str(tmp_path / "ev.db"), "stop_timeout": 0})
    await collector.start()
    assert await collector.record_evolution_progress("a", 0, 0.5, evolution_id="e") is not None

    async def said() -> bool:
        return "EvolutionProgressed.fitness: type changed from string to double" in collector.sending.problem

    await eventually(said, "the field in what the node says")
    assert collector.outbox_depth >= 1
    await collector.stop()
