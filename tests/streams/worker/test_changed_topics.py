"""Source topics that change under a running worker: they get more partitions, or are recreated."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Collection

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete

from evometrics.deploy.pipeline.topics import create_topics
from evometrics.schemas.kafka.topics import answered, delete
from evometrics.schemas.service.http import STOPPED
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_STARTED, KPI_SNAPSHOTS, SCOPE_COUNTS
from evometrics.streams.sources.topics import PartitionsAdded, begin_with
from tests.streams.worker.test_worker import (
    PARTITIONS,
    Stream,
    ended,
    events_of,
    partition_of,
    ready,
    send,
    some_load,
    until,
)
from tests.streams.worker.test_worker import stream as stream  # a fixture
from tests.support.model import SECOND


async def add_partitions(brokers: str, names: Collection[str], number: int) -> None:
    async def ask(admin: AIOKafkaAdminClient) -> None:
        await admin.create_partitions({name: NewPartitions(number) for name in names})

    await answered(KafkaSettings(brokers=brokers), ask)


def said(url: str, path: str = "health/ready") -> str:
    """Return what a worker says, of its readiness if not asked for something else."""
    try:
        with urllib.request.urlopen(f"{url}/{path}", timeout=60) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


async def test_partitions_that_are_added_are_refused_before_an_event_of_them_is_computed(
    stream: Stream,
) -> None:
    worker = await stream.add()
    load = some_load(3)
    events = events_of(load)
    await send(stream.brokers, events[:400])
    await stream.drained()
    before = await stream.derived()
    names = [EVOLUTION_COMPLETED.name, EVOLUTION_STARTED.name, KPI_SNAPSHOTS.name, SCOPE_COUNTS]
    await add_partitions(stream.brokers, names, 2 * PARTITIONS)
    await send(stream.brokers, events[400:])
    url = stream.urls["stream-1"]

    async def refused() -> bool:
        words = await asyncio.to_thread(said, url)
        return all(f"{name} has {2 * PARTITIONS}" in words for name in names)

    await until(refused, "the refusal")
    words = said(url)
    assert f"the states of this group (and other topics) {PARTITIONS}" in words
    assert "evometrics republish" in words and "evometrics topics" in words
    assert words.startswith(
        STOPPED
    )  # which the supervisor reports at its terminal, and a restart does not fix
    assert words.removeprefix(STOPPED).strip() in worker.spec.log.read_text()
    assert await stream.derived() == before
    # nor does a group that begins now compute what lies as it did before
    with pytest.raises(PartitionsAdded, match=f"its events are placed as for {PARTITIONS}"):
        await begin_with(KafkaSettings(brokers=stream.brokers), ["another-group-changelog"])


async def test_a_topic_that_is_made_anew_is_read_from_its_beginning(stream: Stream) -> None:
    kafka = KafkaSettings(brokers=stream.brokers, partitions=PARTITIONS)
    await stream.add()
    now = int(time.time() * SECOND)
    old = [ended(n % 10, now + n) for n in range(200)]
    await send(stream.brokers, old)
    await stream.drained()
    await answered(kafka, lambda admin: delete(admin, [EVOLUTION_COMPLETED.name]))
    await create_topics(kafka)
    new = [ended(n % 10, now + SECOND + n) for n in range(100)]
    await send(stream.brokers, new)

    async def computed() -> bool:
        return len((await stream.derived())["evolution_metrics"]) == 300

    await until(computed, "rows of what was recorded into the new topic", 90)
    await stream.drained()
    derived = await stream.derived()
    assert max(row["attempts"] for row in derived["success_rates"].values()) == 300
    await until(lambda: ready(stream.urls["stream-1"]), "the worker")


async def test_what_retention_took_in_front_of_the_stream_is_said_though_nothing_comes_after_it(
    stream: Stream,
) -> None:
    worker = await stream.add()
    now = int(time.time() * SECOND)
    await send(stream.brokers, [ended(0, now + n) for n in range(30)])
    await stream.drained()
    await worker.stop()
    await send(stream.brokers, [ended(0, now + n) for n in range(30, 75)])
    place = TopicPartition(EVOLUTION_COMPLETED.name, partition_of("a0"))
    gone = {place: RecordsToDelete(before_offset=75)}
    await answered(KafkaSettings(brokers=stream.brokers), lambda admin: admin.delete_records(gone))
    await stream.add()
    note = f"{place.topic}[{place.partition}] offsets 30 to 74: 45 records"

    async def noted() -> bool:
        words = await asyncio.to_thread(said, stream.urls["stream-2"])
        return words.startswith("ok\n") and note in words

    await until(noted, "the note of what is gone", 90)
    metrics = await asyncio.to_thread(said, stream.urls["stream-2"], "metrics")
    assert f'evometrics_offsets_gone_total{{topic="{place.topic}"}} 45.0' in metrics
