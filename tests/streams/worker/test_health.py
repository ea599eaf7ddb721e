"""An event that can't be computed with does not stop its partition; a worker that hangs is not live."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition
from prometheus_client import CollectorRegistry

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.events import DeadLetter, Event, EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.kafka.lag import GroupLag
from evometrics.schemas.kafka.topic_identity import UNKNOWN, TopicIdentity
from evometrics.schemas.metrics import (
    DEAD_LETTERS_TOTAL,
    OF_STREAMS,
    STREAM_UNREADABLE,
    Instruments,
    MetricDef,
)
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import BY_RECORD, DEAD_LETTERS
from evometrics.schemas.wire.catalog import WriterSchema, newest
from evometrics.schemas.wire.framing import SINGLE_OBJECT_LENGTH, WireFormat
from evometrics.schemas.wire.registry import RegistryClient, RegistryUnavailable
from evometrics.streams.changelog.losses import Losses
from evometrics.streams.processors.evolutions import EvolutionProcessor
from evometrics.streams.producer import Message, MessageTooLarge, ProducerSpent
from evometrics.streams.rows.metrics import MetricsRows
from evometrics.streams.rows.rows import Completion
from evometrics.streams.settings import StreamSettings
from evometrics.streams.sources.topics import SOURCE_TOPICS, SourceTopics
from evometrics.streams.worker.app import StreamParts, build
from evometrics.streams.worker.ending import failed_by
from evometrics.streams.worker.health import StreamHealth
from evometrics.streams.worker.lane import Lane
from evometrics.streams.worker.transport import BatchMessage
from evometrics.streams.worker.worker import StreamWorker

WIRE = WireFormat()
BEGIN = 1_700_000_000_000_000
SECOND = 1_000_000


class Broker:
    """Takes the place of the producer: what is sent is kept and acknowledged at once."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def send_all(self, messages: Any) -> list[int]:
        first = len(self.sent)
        self.sent.extend(messages)
        return list(range(first, len(self.sent)))

    def events(self, record: str) -> list[Any]:
        return [WIRE.decode(m.value) for m in self.sent if m.topic == BY_RECORD[record].name]

    def letters(self) -> list[DeadLetter]:
        return [WIRE.decode(m.value) for m in self.sent if m.topic == DEAD_LETTERS.name]  # type: ignore[misc]


class Unchanged(SourceTopics):
    """Topics that are found as they were, without a broker."""

    def __init__(self) -> None:
        super().__init__(KafkaSettings(), {name: TopicIdentity(UNKNOWN, 1, 1) for name in SOURCE_TOPICS}, 1)

    async def verify(self, names: Collection[str] | None = None) -> None:
        pass


class Delivered:
    """A Faust event with a batch."""

    def __init__(self, records: list[ConsumerRecord], generation: int = 1) -> None:
        last = records[-1]
        self.message = BatchMessage(
            last.topic, last.partition, last.offset, 0.0, 0, None, None, None, None, generation_id=generation
        )
        self.message.records = records
        self.acked = False

    def ack(self) -> None:
        self.acked = True


def record(event: Event, offset: int) -> ConsumerRecord:
    value = WIRE.encode(event)
    topic = BY_RECORD[event.record].name
    stamp = event.occurred_at // 1000
    key = event.key.encode()
    return ConsumerRecord(topic, 0, offset, stamp, 0, key, value, None, len(key), len(value), ())


def head(agent: str, at: int) -> dict[str, Any]:
    return {"event_id": new_event_id(), "agent_id": agent, "node_id": "n", "occurred_at": BEGIN + at * SECOND}


def completed(agent: str, at: int, evolution: str, **fields: Any) -> EvolutionCompleted:
    started_at = BEGIN + (at - 1) * SECOND
    return EvolutionCompleted(
        **{
            **head(agent, at),
            "evolution_id": evolution,
            "started_at": started_at,
            "status": "succeeded",
            "success": True,
            **fields,
        }
    )


@pytest.fixture
def failures() -> list[BaseException]:
    return []


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def parts(tmp_path: Path, failures: list[BaseException], registry: CollectorRegistry) -> StreamParts:
    settings = StreamSettings(
        data=str(tmp_path),
        group=f"g-{uuid.uuid4().hex[:8]}",
        abandoned_after_seconds=60,
        max_consecutive_letters=4,
    )
    instruments = Instruments(registry, OF_STREAMS)
    built = build(
        KafkaSettings(), settings, WIRE, instruments, failures.append, Unchanged(), Losses(instruments)
    )
    broker = Broker()
    built.producer = broker  # type: ignore[assignment]
    built.app.consumer_generation_id = 1
    for lane in built.lanes:
        lane.producer = broker  # type: ignore[assignment]
        own_partition(lane)
    return built


def own_partition(lane: Lane) -> None:
    """As if partition 0 had been taken over, with nothing in its changelogs."""
    owned = lane.ownership
    owned.generations[0] = 1
    owned.next_offsets = {TopicPartition(topic, 0): 0 for topic in owned.topics}
    for table in owned.tables:
        table.data[0], table.epochs[0] = {}, 0


def lane_of(parts: StreamParts, name: str) -> tuple[Lane, Broker]:
    lane = next(lane for lane in parts.lanes if lane.name == name)
    return lane, lane.producer  # type: ignore[return-value]


async def test_a_registry_that_takes_its_time_does_not_stop_the_event_loop(
    parts: StreamParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, broker = lane_of(parts, "evolutions")
    answer = threading.Event()

    class Registry(RegistryClient):
        def schema(self, number: int) -> WriterSchema:
            if not answer.wait(5):
                raise RegistryUnavailable("the event loop that should have let it answer was blocked")
            return newest("evolution_completed")

    monkeypatch.setattr(lane.wire, "registry", Registry("http://127.0.0.1:1"))
    monkeypatch.setattr(lane.wire, "known_ids", {})
    sent = record(completed("agent-1", 5, "e"), 0)
    value = sent.value
    assert value is not None
    sent = dataclasses.replace(sent, value=b"\0\0\0\0\7" + value[SINGLE_OBJECT_LENGTH:])
    batch = Delivered([sent])
    asyncio.get_running_loop().call_later(0.05, answer.set)
    await lane.process([batch])
    assert batch.acked
    assert [row.evolution_id for row in broker.events("evolution_metrics")] == ["e"]


async def test_a_poisoned_event_goes_to_the_dead_letters_and_all_others_count(
    parts: StreamParts, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, broker = lane_of(parts, "evolutions")
    original = MetricsRows.read

    def poisoned(self: MetricsRows, message: Any) -> Completion:
        done = original(self, message)
        if done.evolution_id == "poison":
            raise MessageTooLarge("it leads to more than a topic takes")
        return done

    monkeypatch.setattr(MetricsRows, "read", poisoned)
    starts = [EvolutionStarted(**head(f"agent-{n % 3}", n), evolution_id=f"e{n}") for n in range(20)]
    ends: list[Event] = [completed(f"agent-{n % 3}", n + 5, f"e{n}") for n in range(18)]
    ends.insert(7, completed("agent-1", 12, "poison"))
    # far later: the two evolutions that were not completed count as abandoned
    starts.append(EvolutionStarted(**head("agent-0", 500), evolution_id="last"))
    ends.append(completed("agent-2", 501, "e-last"))
    batches = [
        Delivered([record(e, n) for n, e in enumerate(starts)]),
        Delivered([record(e, n) for n, e in enumerate(ends)]),
    ]
    await lane.process(batches)
    assert all(batch.acked for batch in batches)
    (letter,) = broker.letters()
    assert (letter.source_topic, letter.source_offset, letter.stage) == (
        batches[1].message.topic,
        7,
        "stream",
    )
    assert letter.reason == "MessageTooLarge('it leads to more than a topic takes')"
    assert letter.message_value == WIRE.encode(ends[7])
    rows = {(e.evolution_id, e.status) for e in broker.events("evolution_metrics")}
    succeeded = {(f"e{n}", "succeeded") for n in range(18)} | {("e-last", "succeeded")}
    assert rows == succeeded | {("e18", "abandoned"), ("e19", "abandoned")}
    assert len(broker.events("evolution_metrics")) == len(rows)
    (letters,) = [
        sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == DEAD_LETTERS_TOTAL.name
    ]
    assert letters == 1


async def test_a_message_that_can_not_be_read_is_counted_as_a_letter_by_the_sink_alone(
    parts: StreamParts, registry: CollectorRegistry
) -> None:
    lane, broker = lane_of(parts, "evolutions")
    bad = dataclasses.replace(record(completed("a", 5, "e1"), 0), value=b"no framing")
    await lane.process([Delivered([bad])])
    foreign, _ = lane_of(parts, "scopes")
    bad_count = dataclasses.replace(bad, topic=foreign.work.topics[0])
    await foreign.process([Delivered([bad_count])])
    assert len(broker.letters()) == 2

    def value(definition: MetricDef, topic: str, **labels: str) -> float | None:
        return registry.get_sample_value(definition.name, {"topic": topic, **labels})

    for message in (bad, bad_count):
        assert value(STREAM_UNREADABLE, message.topic) == 1
    assert value(DEAD_LETTERS_TOTAL, bad.topic, stage="stream") is None
    assert value(DEAD_LETTERS_TOTAL, bad_count.topic, stage="stream") == 1, "no sink reads this topic"
    assert registry.get_sample_value("evometrics_stream_batch_seconds_count", {"lane": "scopes"}) == 1


async def test_a_fault_of_ours_stops_the_worker_with_its_traceback_before_an_offset_moves(
    parts: StreamParts,
    failures: list[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever the event is: a build that is wrong must not empty a topic into the dead letters."""
    lane, broker = lane_of(parts, "evolutions")

    def wrong(self: EvolutionProcessor, *_: Any) -> bool:
        return bool({}["the build's"])

    ends: list[Event] = [completed(f"agent-{n}", n, f"e{n}") for n in range(3)]
    with monkeypatch.context() as build:
        build.setattr(EvolutionProcessor, "complete", wrong)
        batch = Delivered([record(e, n) for n, e in enumerate(ends)])
        await lane.put(batch)
        while not failures:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert isinstance(failures[0], KeyError)
    assert not batch.acked and not broker.letters() and not broker.events("evolution_metrics")
    (said,) = [r for r in caplog.records if r.exc_info]
    assert said.exc_info is not None and said.exc_info[1] is failures[0]


async def test_letters_above_the_limit_stop_the_lane_before_the_first_of_them_is_sent(
    parts: StreamParts, failures: list[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    lane, broker = lane_of(parts, "evolutions")
    sent = [record(completed("agent-1", n, f"e{n}"), n) for n in range(12)]
    for n in (1, *range(3, 7), *range(9, 12)):
        sent[n] = dataclasses.replace(sent[n], value=b"no framing")
    odd, run = Delivered(sent[:9]), Delivered(sent[9:])
    await lane.process([odd])
    assert odd.acked and [x.source_offset for x in broker.letters()] == [1, 3, 4, 5, 6]
    # two that the batch before ended with, were they bad, and three more
    sent_then, more = len(broker.sent), [dataclasses.replace(sent[11], offset=n) for n in (12, 13)]
    await lane.put(run)
    await lane.put(Delivered(more))
    worker = StreamWorker(KafkaSettings(), StreamSettings(), WIRE, lane.instruments)
    worker.parts = parts
    health = StreamHealth(worker, GroupLag(KafkaSettings(), "g", lane.instruments))
    while health.stopped() is None:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert "5 messages in a row" in (health.stopped() or "") and not failures
    assert len(broker.sent) == sent_then and not run.acked
    assert (await health.look()).away == health.stopped(), "not stuck: it waits for a person"
    (said,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert "EVOMETRICS_STREAM_MAX_CONSECUTIVE_LETTERS" in said
    await lane.stop()


async def test_a_state_that_no_topic_takes_sends_its_event_to_the_dead_letters(parts: StreamParts) -> None:
    lane, broker = lane_of(parts, "evolutions")
    large = {"note": "x" * 900_000}
    starts = [EvolutionStarted(**head("a", n), evolution_id=f"e{n}", metadata=large) for n in range(3)]
    starts.append(EvolutionStarted(**head("b", 3), evolution_id="small"))
    await lane.process([Delivered([record(e, n) for n, e in enumerate(starts)])])
    (letter,) = broker.letters()
    assert letter.source_offset == 2
    assert "the state in table evolutions, key a" in letter.reason
    await lane.process([Delivered([record(completed("b", 4, "small"), 0)])])
    assert [e.evolution_id for e in broker.events("evolution_metrics")] == ["small"]


async def test_what_was_fetched_before_a_rebalance_is_neither_computed_nor_committed(
    parts: StreamParts,
) -> None:
    lane, broker = lane_of(parts, "snapshots")
    stale = Delivered([record(KpiSnapshot(**head("a", 1), accuracy=0.5), 0)], generation=0)
    fresh = Delivered([record(KpiSnapshot(**head("b", 1), accuracy=0.5), 0)])
    await lane.put(stale)
    await lane.put(fresh)
    while not fresh.acked:  # noqa: ASYNC110 - the lane has no word for it
        await asyncio.sleep(0.01)
    assert not stale.acked
    assert [e.agent_id for e in broker.events("kpi_delta")] == ["b"]
    await lane.stop()


async def test_an_error_that_no_event_is_to_blame_for_ends_the_worker(
    parts: StreamParts, failures: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, broker = lane_of(parts, "snapshots")

    async def fenced(_: Any) -> None:
        raise RuntimeError("a newer producer has taken over")

    monkeypatch.setattr(broker, "send_all", fenced)
    batch = Delivered([record(KpiSnapshot(**head("a", 1), accuracy=0.5), 0)])
    await lane.put(batch)
    while not failures:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert "a newer producer" in str(failures[0])
    assert not batch.acked


async def test_a_cancellation_inside_a_library_ends_the_worker_not_just_the_lane(
    parts: StreamParts, failures: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, broker = lane_of(parts, "snapshots")

    async def closed(_: Any) -> None:
        waiting = asyncio.get_running_loop().create_future()
        waiting.cancel()
        await waiting

    monkeypatch.setattr(broker, "send_all", closed)
    await lane.put(Delivered([record(KpiSnapshot(**head("a", 1), accuracy=0.5), 0)]))
    while not failures:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert isinstance(failures[0], asyncio.CancelledError)
    failures.clear()
    lane.task = None
    monkeypatch.setattr(broker, "send_all", lambda _: asyncio.sleep(60))
    await lane.put(Delivered([record(KpiSnapshot(**head("b", 1), accuracy=0.5), 1)]))
    await asyncio.sleep(0.05)
    await lane.stop()
    assert failures == []


@pytest.mark.parametrize(
    ("error", "one_line"),
    [
        (KafkaError("fenced"), True),
        (ProducerSpent("refused"), True),
        (RegistryUnavailable("away"), True),
        (KeyError("x"), False),
    ],
)
def test_only_what_the_servers_are_the_cause_of_is_told_without_a_traceback(
    error: Exception, one_line: bool
) -> None:
    told = failed_by("a lane failed", error)
    assert isinstance(told, EvometricsError) == one_line
    assert str(told) == f"a lane failed: {error!r}"


async def test_a_worker_whose_producer_is_spent_ends_and_moves_no_offset(
    parts: StreamParts, failures: list[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, broker = lane_of(parts, "evolutions")

    async def refused(_: Any) -> list[int]:
        raise ProducerSpent("the broker permanently refused messages")

    monkeypatch.setattr(broker, "send_all", refused)
    batch = Delivered([record(completed("agent-1", 5, "e"), 0)])
    await lane.put(batch)
    async with asyncio.timeout(60):
        while not failures:  # noqa: ASYNC110 - it is told from a task
            await asyncio.sleep(0.01)
    await lane.stop()
    assert isinstance(failures[0], ProducerSpent) and not batch.acked
