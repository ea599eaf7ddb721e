"""From the staging area to Kafka: publishes the events that are not there yet, in the order of time.

Why importing twice changes nothing. The tables know an event by its id, but the stream, which counts success
rates, remembers only each node's last 4,096 ids: an old event that is published again would count again. So
nothing is published that ClickHouse or Kafka has already:

1. No other import is running, and nothing that a killed one has sent is still in flight (`alone`).
2. Then it waits until the sink has stored everything that the raw topics held at that moment.
3. Then each event's id is looked up in ClickHouse (`known`), and published if it is not found.

Within a run an event is published once: staging has each id once, and an idempotent producer's repeats are
dropped by the broker. At most `UNANSWERED` chunks wait for their acknowledgement.

What this does not cover: a process that was suspended, or cut off from the broker, for over
`alone.SESSION_SECONDS`, while another import took its place, may still send what it holds before it notices
and ends: at most `UNANSWERED * CHUNK` events, of which the stream recognises those that are among the last
4,096 of their node. An event of which ClickHouse has kept nothing (system events after 90 days, others after
two years) is published again. A collector's history file has the ids under which its events were, or would
have been, published; evolutions that another recorder wrote down beside it have other ids.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from clickhouse_connect.driver.asyncclient import AsyncClient

from evometrics.deploy.history.alone import Alone
from evometrics.deploy.history.known import known_ids
from evometrics.deploy.history.report import TableCounts
from evometrics.deploy.history.sources import STRATEGIES
from evometrics.deploy.history.staging import Staged, Staging
from evometrics.producers.outbox.row import Row
from evometrics.producers.publisher.framing import Framing

#: Limit of the events that are looked up and handed to the producer together; and of their bytes.
CHUNK = 2000
CHUNK_BYTES = 16_000_000
UNANSWERED = 2
BATCH_BYTES = 262_144


class HistoryPublisher:
    """Publishes staged events and counts the results, in the counts of the tables."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        client: AsyncClient,
        framing: Framing,
        alone: Alone,
        counts: dict[str, TableCounts],
    ) -> None:
        self.producer = producer
        self.client = client
        self.framing = framing
        self.alone = alone
        self.counts = counts

    async def publish(self, staging: Staging, advance: Callable[[int], object]) -> None:
        """Publish what is missing; `advance` is called with each part's number of events once it is there.

        Raises `KafkaError`, `NotAlone`, or as ClickHouse's client does. Events acknowledged until then are
        counted, and found by the next run.
        """
        waiting: deque[tuple[asyncio.Future[Any], list[Staged]]] = deque()
        try:
            for chunk in staging.ordered(CHUNK, CHUNK_BYTES):
                known = await known_ids(self.client, chunk)
                self.count([event for event in chunk if event.event_id in known], imported=False)
                advance(len(known))
                self.alone.check()
                missing = [event for event in chunk if event.event_id not in known]
                waiting.append((asyncio.gather(*[await self.send(event) for event in missing]), missing))
                while len(waiting) >= UNANSWERED:
                    await self.answered(*waiting.popleft(), advance)
            while waiting:
                await self.answered(*waiting.popleft(), advance)
        finally:
            for answers, _ in waiting:
                answers.cancel()

    async def send(self, event: Staged) -> asyncio.Future[Any]:
        """Hand an event to the producer; return a future of the broker's answer."""
        row = Row(0, event.topic, event.key, event.value)
        await self.framing.learn(row)
        answer: asyncio.Future[Any] = await self.producer.send(
            event.topic, self.framing.value(row), key=event.key.encode()
        )
        return answer

    async def answered(
        self, answers: asyncio.Future[Any], events: list[Staged], advance: Callable[[int], object]
    ) -> None:
        """Wait until the broker has acknowledged some events, and count them."""
        await answers
        self.count(events, imported=True)
        advance(len(events))

    def count(self, events: Sequence[Staged], *, imported: bool) -> None:
        """Move events, and the strategies in them, to the count where they belong now."""
        for event in events:
            for table in (event.table, STRATEGIES) if event.strategy else (event.table,):
                counts = self.counts[table]
                counts.to_import -= 1
                if imported:
                    counts.imported += 1
                else:
                    counts.already_there += 1
