"""A second environment filled from ClickHouse alone, and tables built again from Kafka: all of them equal."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from evometrics.deploy.pipeline.drain import drain, end_offsets, pipeline_groups
from evometrics.schemas.events import KpiSnapshot
from evometrics.schemas.kafka.ranges import range_reader, read_range
from evometrics.schemas.kafka.retention import keep_for
from evometrics.schemas.kafka.topic_settings import own_settings
from evometrics.schemas.kafka.topics import answered
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import BY_NAME, EVOLUTION_COMPLETED, KPI_SNAPSHOTS, RAW_TOPICS, TOPICS
from evometrics.schemas.wire.framing import WireFormat
from tests.support.generator import Load, generate
from tests.support.load import send_all
from tests.support.migrated import copied
from tests.support.model import SECOND
from tests.support.stack import Running, evometrics_here, running_stack

#: Of one node: two whose publishers are hours of event time apart make the stream report evolutions as
#: abandoned that complete later, or not, as its batches fall.
LOAD = Load(seed=5, begin=(int(time.time()) - 40 * 3600) * SECOND, agents=60, evolutions=600, nodes=1)
#: The same in both: an evolution is abandoned by the times of its partition.
PARTITIONS = 4
SINK_GROUP = "evometrics-sink-again"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, migrated_folder: Path) -> Iterator[Running]:
    """An environment with events of every kind, and messages that are none."""
    folder = tmp_path_factory.mktemp("first")
    copied(migrated_folder, folder / "data" / "clickhouse")
    with running_stack(folder / "data", partitions=PARTITIONS) as stack:
        send_all(LOAD, stack.brokers, folder)
        asyncio.run(send(stack.brokers, [b"rubbish", b"", b"\xc3\x01" + b"\0" * 8 + b"more"]))
        stack.drained()
        yield stack


async def send(brokers: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers)
    await producer.start()
    for value in values:
        await producer.send_and_wait(EVOLUTION_COMPLETED.name, value, key=b"agent-x")
    await producer.stop()


def checksums(stack: Running, *arguments: str) -> dict[str, Any]:
    found = evometrics_here("checksums", "--json", "--data", str(stack.data), *arguments)
    assert found.returncode == 0, found.stderr
    sums: dict[str, Any] = json.loads(found.stdout)
    return sums


def republish(*arguments: str) -> dict[str, Any]:
    found = evometrics_here("republish", "--json", *arguments)
    assert found.returncode == 0, found.stderr
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def in_topics(brokers: str) -> int:
    """Return the number of messages in the raw topics that the stream does not write to."""
    names = [topic.name for topic in RAW_TOPICS if topic != KPI_SNAPSHOTS]
    return sum(asyncio.run(end_offsets(KafkaSettings(brokers=brokers), names)).values())


def kill_in_the_midst(stack: Running, source: list[str], rng: random.Random) -> bool:
    """Kill -9 a republish at some moment after it has begun to send; return whether it was still at work."""
    before = in_topics(stack.brokers)
    command = [sys.executable, "-m", "evometrics.deploy.cli", "republish", *source]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and in_topics(stack.brokers) == before:
        time.sleep(0.02)
    time.sleep(rng.random() * 0.5)
    killed = process.poll() is None
    process.kill()
    process.wait()
    return killed


async def ids_in(brokers: str) -> dict[str, Counter[str]]:
    """Return how often each event is in each raw topic."""
    wire, found = WireFormat(), dict[str, Counter[str]]()
    ends = await end_offsets(KafkaSettings(brokers=brokers), [topic.name for topic in RAW_TOPICS])
    async with range_reader(KafkaSettings(brokers=brokers)) as consumer:
        for place, end in ends.items():
            records = await read_range(consumer, TopicPartition(*place), 0, end)
            counts = found.setdefault(BY_NAME[place.topic].table, Counter())
            counts.update(wire.decode(record.value).event_id for record in records)
    return found


def test_the_load_holds_all_there_is(first: Running) -> None:
    sums = checksums(first)
    assert sums.keys() == {topic.table for topic in TOPICS}
    assert all(each["rows"] >= 20 for table, each in sums.items() if table != "dead_letters")
    assert sums["dead_letters"]["rows"] == 6
    assert sum(each["rows"] for each in sums.values()) > 4000


def test_a_second_environment_is_filled_from_clickhouse_through_kills_and_equals_the_first(
    first: Running, tmp_path: Path, migrated_folder: Path
) -> None:
    wanted = checksums(first)
    del wanted["dead_letters"]
    rng = random.Random()
    copied(migrated_folder, tmp_path / "data" / "clickhouse")
    with running_stack(tmp_path / "data", partitions=PARTITIONS) as second:
        source = ("--clickhouse-url", first.clickhouse_url, "--data", str(second.data))
        source += ("--clickhouse-user", "analyst", "--ahead-hours", "12")  # it only reads there
        dry = republish(*source, "--dry-run")
        raw = {topic.table: wanted[topic.table]["rows"] for topic in RAW_TOPICS}
        recorded = {event.event_id for _, event in generate(LOAD) if event.record == KpiSnapshot.record}
        assert raw["kpi_snapshots"] > len(recorded), "the stream makes the others"
        assert dry == {"to_send": raw | {"kpi_snapshots": len(recorded)}, "resumed": False}
        assert in_topics(second.brokers) == 0
        assert sum(kill_in_the_midst(second, [*source], rng) for _ in range(3)) >= 2
        done = republish(*source)
        second.drained()
        found = asyncio.run(ids_in(second.brokers))
        assert done["resumed"]
        assert {table: set(ids.values()) for table, ids in found.items()} == {
            topic.table: {1} for topic in RAW_TOPICS
        }
        assert {table: len(ids) for table, ids in found.items()} == raw
        again = checksums(second)
        assert again.pop("dead_letters")["rows"] == 0
        assert again == wanted
        assert republish(*source) == {"sent": dict.fromkeys(dry["to_send"], 0), "resumed": True}


def test_the_cluster_that_filled_clickhouse_is_refused(first: Running) -> None:
    ends = asyncio.run(end_offsets(KafkaSettings(brokers=first.brokers), [topic.name for topic in TOPICS]))
    for arguments in ([], ["--tables", "evolution_completed"]):
        refused = evometrics_here("republish", "--data", str(first.data), *arguments)
        assert refused.returncode == 1
        assert "holds other events" in refused.stderr and "Traceback" not in refused.stderr
        assert (EVOLUTION_COMPLETED.name in refused.stderr) or not arguments
    assert (
        asyncio.run(end_offsets(KafkaSettings(brokers=first.brokers), [topic.name for topic in TOPICS]))
        == ends
    )


def test_all_tables_are_built_again_from_kafka_by_a_sink_with_another_group_and_database(
    first: Running,
) -> None:
    wanted = checksums(first)
    at = ("--data", str(first.data), "--database", "again")
    assert evometrics_here("migrate", *at).returncode == 0
    command = [sys.executable, "-m", "evometrics.deploy.cli", "sink", *at]
    sink = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"EVOMETRICS_SINK_GROUP": SINK_GROUP}
    )
    try:
        asyncio.run(drain(KafkaSettings(brokers=first.brokers), pipeline_groups("", SINK_GROUP)[1:], 60))
    finally:
        sink.terminate()
        _, said = sink.communicate(timeout=30)
    assert sink.returncode == 0, said
    assert checksums(first, "--database", "again") == wanted == checksums(first)


def test_the_topics_retention_is_set_back_on_request(first: Running) -> None:
    kafka = KafkaSettings(brokers=first.brokers)
    names = [topic.name for topic in TOPICS]

    def settings() -> dict[str, dict[str, str]]:
        return asyncio.run(answered(kafka, lambda admin: own_settings(admin, names)))

    made = settings()
    asyncio.run(answered(kafka, lambda admin: keep_for(admin, {names[0]: 5_000_000_000, names[1]: -1})))
    assert sum(settings()[name] != made[name] for name in names) == 2
    at = ("--data", str(first.data), "--partitions", str(PARTITIONS))
    assert evometrics_here("topics", *at).returncode == 0
    assert settings() != made
    assert evometrics_here("topics", "--reset-retention", *at).returncode == 0
    assert settings() == made
