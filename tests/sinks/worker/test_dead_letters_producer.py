"""The sink's producer of dead letters, on a real broker that refuses what it sends."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from evometrics.schemas.metrics import OF_SINK, Instruments
from evometrics.schemas.topics import DEAD_LETTERS
from evometrics.sinks.worker import dead_letters
from evometrics.sinks.worker.batch import Rejected
from evometrics.sinks.worker.dead_letters import DeadLetters
from tests.support.sinks import WIRE, Kafka, one_of_each, sent


async def test_letters_go_on_by_a_new_producer_where_the_broker_takes_no_more_from_this_one(
    broker: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "backoff", lambda attempt: 0.05)
    letters = DeadLetters(broker.settings, WIRE, "sink", Instruments(CollectorRegistry(), OF_SINK))
    try:
        for agent in range(2):
            bad = [Rejected(sent(event), "bad") for event in one_of_each(f"agent-{agent}")[:3]]
            await letters.send(bad)
            first = await letters.started()
            assert letters.trouble is None
            # as a refused batch does: the broker misses the numbers that it had
            for number in range(broker.settings.partitions):
                first._txn_manager.increment_sequence_number(TopicPartition(DEAD_LETTERS.name, number), 3)
            trouble: list[str | None] = []
            begin_anew = letters.begin_anew

            async def watched(begin: object = begin_anew, seen: list[str | None] = trouble) -> None:
                seen.append(letters.trouble)
                await begin()  # type: ignore[operator]

            monkeypatch.setattr(letters, "begin_anew", watched)
            await asyncio.wait_for(letters.send(bad), 30)
            monkeypatch.setattr(letters, "begin_anew", begin_anew)
            assert await letters.started() is not first
            assert letters.trouble is None and "OutOfOrderSequenceNumber" in str(trouble[0])
    finally:
        await letters.close()
