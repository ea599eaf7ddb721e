"""Nodes whose clock is wrong, and topics that are not there: nothing is lost, nothing waits behind it."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from evometrics.deploy.kafka.broker import bootstrap, plan_nodes, prepare_node
from evometrics.deploy.pipeline.drain import end_offsets
from evometrics.deploy.pipeline.topics import create_topics
from evometrics.deploy.process.child import ChildProcess
from evometrics.producers import EvolutionMetricsCollector
from evometrics.producers.events import values
from evometrics.producers.publisher import holding
from evometrics.producers.publisher import publisher as publishing
from evometrics.producers.publisher.clock_repair import NOTE
from evometrics.schemas.events import Event, EvolutionCompleted, SystemEvent
from evometrics.schemas.kafka.ranges import range_reader, read_range
from evometrics.schemas.kafka.topic_settings import BROKER_TIME, TIMESTAMP_TYPE, change, own_settings
from evometrics.schemas.kafka.topics import answered, delete, partitions_of
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_PROGRESSED, RAW_TOPICS, SYSTEM_EVENTS
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.reading import read_event
from tests.support.outboxes import arrived, collecting, until

DAY = 86_400.0
LOG_APPEND_TIME = 1
NAMES = [topic.name for topic in RAW_TOPICS]
WIRE = WireFormat()

#: A node with a clock that is ahead: records one evolution of each of five agents, and says each event's id.
NODE = """
import sys, time
ahead = float(sys.argv[4])
true, true_ns = time.time, time.time_ns
time.time, time.time_ns = lambda: true() + ahead, lambda: true_ns() + int(ahead * 1e9)
import asyncio, logging
from evometrics.producers import EvolutionMetricsCollector
logging.basicConfig(level=logging.INFO)
async def main():
    given = {"brokers": sys.argv[1], "db_path": sys.argv[2], "node_id": sys.argv[3], "stop_timeout": 3}
    collector = EvolutionMetricsCollector(given)
    await collector.start()
    for number in range(5):
        async with collector.evolution(f"agent-{number}", strategy="tune", pre_kpis={"accuracy": 0.5}) as run:
            for _ in range(3):
                await run.progress(fitness=0.5)
            await run.complete(post_kpis={"accuracy": 0.6})
        print("ID", await collector.record_system_event("note", {"number": number}), flush=True)
    print("ID", await collector.record_kpi_snapshot("agent-0", {"accuracy": 0.7}), flush=True)
    await collector.stop()
    print("LEFT", collector.outbox_depth, flush=True)
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def eager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of these tests' own, that creates what topic it is asked about, as Kafka does by default."""
    folder = tmp_path_factory.mktemp("kafka")
    nodes = plan_nodes(folder)

    async def start() -> ChildProcess:
        spec = await prepare_node(nodes[0], nodes, folder / "logs", lambda *_: None)
        properties = nodes[0].folder / "server.properties"
        text = properties.read_text()
        assert "auto.create.topics.enable=false" in text
        properties.write_text(
            text.replace("auto.create.topics.enable=false", "auto.create.topics.enable=true")
        )
        node = ChildProcess(spec)
        await node.start()
        return node

    node = asyncio.run(start())
    yield bootstrap(nodes)
    asyncio.run(node.stop())


@pytest.fixture
async def broker(eager: str) -> str:
    """The broker with all topics."""
    await create_topics(KafkaSettings(brokers=eager))
    return eager


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """This process' clock: `ahead[0]` seconds ahead of the broker's from now on."""
    off = [0.0]
    true, true_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: true() + off[0])
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() + int(off[0] * 1e9))
    yield off
    off[0] = 0.0
    values.set_broker_clock(None)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What holds events back is looked at often."""
    monkeypatch.setattr(publishing, "CHECK", 0.2)
    monkeypatch.setattr(holding, "LOOK_EVERY", 0.2)
    caplog.set_level(logging.INFO)


def config(brokers: str, folder: Path, **more: Any) -> dict[str, Any]:
    node = f"node-{uuid.uuid4().hex[:8]}"
    return {"db_path": str(folder / "ev.db"), "brokers": brokers, "node_id": node, **more}


async def held(brokers: str, node_id: str) -> list[tuple[ConsumerRecord, Event]]:
    """Return a node's messages and events, each read as stream and sink read them: none is refused."""
    found: list[tuple[ConsumerRecord, Event]] = []
    ends = {
        place: end for place, end in (await end_offsets(KafkaSettings(brokers=brokers), NAMES)).items() if end
    }
    if not ends:
        return found
    async with range_reader(KafkaSettings(brokers=brokers)) as consumer:
        for place, end in ends.items():
            for record in await read_range(consumer, TopicPartition(*place), 0, end):
                event = read_event(WIRE, record)
                if event.node_id == node_id:
                    found.append((record, event))
    return found


def node_of(collector: EvolutionMetricsCollector) -> str:
    return str(collector.settings.node_id)


async def run_node(brokers: str, folder: Path, node_id: str, off: float) -> tuple[set[str], int, str]:
    """Run a node whose clock is off; return the ids it was given, what it left, and its log."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", NODE, brokers, str(folder / "ev.db"), node_id, str(off),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 0, err.decode()
    lines = [line.split() for line in out.decode().splitlines()]
    ids = {value for name, value in lines if name == "ID"}
    return ids, int(next(value for name, value in lines if name == "LEFT")), err.decode()


async def test_what_a_node_three_days_ahead_recorded_is_stored_once_its_clock_is_right(
    broker: str, tmp_path: Path
) -> None:
    node = f"node-{uuid.uuid4().hex[:8]}"
    ids, left, log = await run_node(broker, tmp_path, node, 3 * DAY + 7200 + 60)
    assert left > 20 and not await held(broker, node)
    assert "this node's clock is 3 days 2 h ahead of the broker's: set it" in log
    assert log.count("ahead of the broker's") == 1 and "start the broker" not in log
    later, left, log = await run_node(broker, tmp_path, node, 0.0)
    assert left == 0 and "their times were corrected" in log
    found = await held(broker, node)
    events = {event.event_id: event for _, event in found}
    assert len(events) == len(found) and ids | later <= events.keys()
    now = time.time()
    noted = {i for i, e in events.items() if NOTE in str(getattr(e, "metadata", getattr(e, "data", "")))}
    assert ids <= noted and not later & noted
    assert all(now - 120 < event.occurred_at / 1e6 <= now for event in events.values())
    completed = [e for e in events.values() if isinstance(e, EvolutionCompleted)]
    assert len(completed) == 10
    assert all(0 <= e.occurred_at - e.started_at < 60_000_000 for e in completed)


async def test_a_clock_that_jumps_three_days_holds_up_what_it_times_and_nothing_else(
    broker: str, tmp_path: Path, ahead: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    async with collecting(config(broker, tmp_path)) as collector:
        before = [await collector.record_system_event("note", {"number": n}) for n in range(5)]
        assert await collector.drain(30)
        ahead[0] = 3 * DAY
        wrong = [await collector.record_system_event("note", {"number": n}) for n in range(5, 10)]
        started = time.time()
        await until(lambda: "3 days ahead of the broker's: set it" in collector.sending.problem)
        old = await collector.record_kpi_snapshot("agent", {"accuracy": 0.5}, timestamp=started - 3 * DAY)
        await until(lambda: collector.outbox_depth == len(wrong))
        ids = {event.event_id for _, event in await held(broker, node_of(collector))}
        assert ids >= {*before, old} and not ids & {*wrong}
        ahead[0] = 0.0
        right = await collector.record_system_event("note", {"number": 10})
        assert await collector.drain(30)
        await until(lambda: not collector.sending.problem)
        found = [event for _, event in await held(broker, node_of(collector))]
    notes = [e for e in found if isinstance(e, SystemEvent) and e.event_type == "note"]
    assert [e.event_id for e in notes] == [*before, *wrong, right], "an agent's events keep their order"
    for event in notes:
        assert ("evometrics.clock" in event.data) == (event.event_id in wrong)
    times = [event.occurred_at for event in notes]
    assert times == sorted(times), "corrected to the moment: this process saw its clock being set"
    assert sum("ahead of the broker's" in r.getMessage() for r in caplog.records) == 1


@pytest.mark.parametrize("off", [20 * 3600.0, -16 * DAY], ids=["20 hours ahead", "16 days behind"])
async def test_a_node_not_a_day_ahead_is_taken_as_it_is_and_kafka_keeps_its_events_by_its_own_time(
    broker: str, tmp_path: Path, ahead: list[float], off: float, caplog: pytest.LogCaptureFixture
) -> None:
    ahead[0] = off
    async with collecting(config(broker, tmp_path)) as collector:
        said = await collector.record_system_event("note", {})
        recorded_at = time.time()
        assert await collector.drain(30)
        found = {event.event_id: (record, event) for record, event in await held(broker, node_of(collector))}
    record, event = found[str(said)]
    assert event.occurred_at / 1e6 == pytest.approx(recorded_at, abs=5)
    assert record.timestamp / 1000 == pytest.approx(recorded_at - off, abs=30)
    assert record.timestamp_type == LOG_APPEND_TIME
    assert "clock" not in caplog.text


async def test_a_node_days_behind_holds_the_times_it_is_given_against_the_brokers_clock(
    broker: str, tmp_path: Path, ahead: list[float]
) -> None:
    async with collecting(config(broker, tmp_path)) as collector:
        await until(lambda: collector.sending.connected)
        ahead[0] = -16 * DAY  # and nobody has noticed yet
        true = time.time() + 16 * DAY
        said = await collector.record_evolution_start(agent_id="a", evolution_id="e1", timestamp=true)
        late = await collector.record_evolution_start(
            agent_id="a", evolution_id="e2", timestamp=true + 2 * DAY
        )
        assert await collector.drain(30)
        found = {event.event_id: event for _, event in await held(broker, node_of(collector))}
    assert found[str(said)].occurred_at / 1e6 == pytest.approx(true, abs=1)
    unreal = found[str(late)]  # whichever clock is right: it has the node's own time
    assert unreal.occurred_at / 1e6 == pytest.approx(true - 16 * DAY, abs=5)


async def test_where_an_administrator_lets_senders_give_the_time_a_node_gives_the_brokers(
    broker: str, tmp_path: Path, ahead: list[float]
) -> None:
    kafka = KafkaSettings(brokers=broker)
    strict = {TIMESTAMP_TYPE: "CreateTime", "message.timestamp.after.max.ms": "3600000"}
    await answered(kafka, lambda admin: change(admin, dict.fromkeys(NAMES, strict)))
    try:
        for off in (10 * 3600.0, -16 * DAY):
            ahead[0] = off
            async with collecting(config(broker, tmp_path)) as collector:
                await collector.record_system_event("note", {})
                now = time.time() - off
                assert await collector.drain(30)
                found = await held(broker, node_of(collector))
            assert all(r.timestamp / 1000 == pytest.approx(now, abs=30) for r, _ in found)
            assert found and {r.timestamp_type for r, _ in found} == {0}
    finally:
        await answered(kafka, lambda admin: change(admin, dict.fromkeys(NAMES, BROKER_TIME)))


async def test_a_broker_that_does_not_tell_its_time_is_asked_with_one_event(
    broker: str,
    tmp_path: Path,
    ahead: list[float],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def silent(_: object) -> None:
        return None

    monkeypatch.setattr(holding, "broker_time", silent)
    kafka = KafkaSettings(brokers=broker)
    ahead[0] = 3 * 3600.0
    async with collecting(config(broker, tmp_path)) as collector:
        for number in range(50):
            await collector.record_system_event("note", {"number": number})
        assert await collector.drain(30)
        assert collector.sending.publisher is not None
        assert collector.sending.publisher.clock.ahead == pytest.approx(3 * 3600, abs=5)
        numbers = [e.event_id for _, e in await held(broker, node_of(collector))]
        assert len(numbers) == len(set(numbers)) >= 50
    strict = {TIMESTAMP_TYPE: "CreateTime", "message.timestamp.after.max.ms": "3600000"}
    await answered(kafka, lambda admin: change(admin, dict.fromkeys(NAMES, strict)))
    try:
        async with collecting(config(broker, tmp_path, stop_timeout=0)) as collector:
            await collector.record_system_event("note", {})
            await until(lambda: "this node's clock is" in collector.sending.problem)
            await asyncio.sleep(2)
            said = [r for r in caplog.records if "ahead of the broker's: set it" in r.getMessage()]
            assert len(said) == 1, "once a minute, whatever sessions come and go"
            assert "start the broker" not in caplog.text
            ahead[0] = 0.0
            assert await collector.drain(30)
            assert not collector.sending.problem
    finally:
        await answered(kafka, lambda admin: change(admin, dict.fromkeys(NAMES, BROKER_TIME)))


async def test_where_the_broker_does_not_tell_its_time_a_wrong_clock_costs_one_event_at_most(
    broker: str, tmp_path: Path, ahead: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_: object) -> None:
        return None

    monkeypatch.setattr(holding, "broker_time", silent)
    ahead[0] = 3 * DAY
    async with collecting(config(broker, tmp_path, stop_timeout=0)) as collector:
        for number in range(300):
            await collector.record_system_event("note", {"number": number})
        await until(lambda: "3 days ahead" in collector.sending.problem)
        await asyncio.sleep(1)
        assert len(await arrived(broker, node_of(collector))) == 1
        ahead[0] = 0.0
        assert await collector.drain(30)
        found = await arrived(broker, node_of(collector))
    limit = time.time() * 1e6
    assert len(found) >= 300 and sum(each.event.occurred_at > limit for each in found) == 1


async def test_a_node_started_before_evometrics_topics_makes_no_topic_and_sends_once_they_are_there(
    eager: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kafka = KafkaSettings(brokers=eager)
    there = await answered(kafka, lambda admin: partitions_of(admin, NAMES))
    await answered(kafka, lambda admin: delete(admin, there))
    async with collecting(config(eager, tmp_path)) as collector:
        said = await collector.record_system_event("note", {})
        await until(lambda: "create them with `evometrics topics`" in collector.sending.problem)
        await asyncio.sleep(1)
        assert await answered(kafka, lambda admin: partitions_of(admin, NAMES)) == {}
        await create_topics(kafka)
        assert await collector.drain(30)
        assert said in {event.event_id for _, event in await held(eager, node_of(collector))}
    assert all(name in caplog.text for name in NAMES)


async def test_events_of_one_missing_topic_wait_and_all_others_go_on(
    broker: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kafka, gone = KafkaSettings(brokers=broker), EVOLUTION_PROGRESSED.name
    await answered(kafka, lambda admin: delete(admin, [gone]))
    async with collecting(config(broker, tmp_path)) as collector:
        for number in range(10):
            await collector.record_evolution_progress("agent", number, 0.5, evolution_id="e")
            await collector.record_system_event("note", {"number": number})
        await until(lambda: collector.published.get(SYSTEM_EVENTS.name, 0) >= 10)
        await until(lambda: gone in collector.sending.problem)
        assert gone not in await answered(kafka, lambda admin: partitions_of(admin, NAMES))
        said = [r.getMessage() for r in caplog.records if "evometrics topics" in r.getMessage()]
        assert len(said) == 1 and gone in said[0] and EVOLUTION_COMPLETED.name not in said[0]
        await create_topics(kafka)
        assert await collector.drain(30)
        found = [e for _, e in await held(broker, node_of(collector)) if e.record == "evolution_progressed"]
    assert [event.iteration for event in found] == list(range(10))  # type: ignore[attr-defined]


async def test_own_settings_of_topics_are_the_brokers_time(broker: str) -> None:
    kafka = KafkaSettings(brokers=broker)
    for settings in (await answered(kafka, lambda admin: own_settings(admin, NAMES))).values():
        assert BROKER_TIME.items() <= settings.items()
