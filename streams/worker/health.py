"""The health of a stream worker: group membership, state loading and consumer lag."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from evometrics.schemas.kafka.lag import GroupLag, Lag
from evometrics.schemas.service.health import Standing
from evometrics.streams.sources.topics import SOURCE_TOPICS
from evometrics.streams.worker.app import StreamApp, StreamParts

if TYPE_CHECKING:
    from evometrics.streams.worker.worker import StreamWorker


class StreamHealth:
    """Health of a stream worker: group membership, state loading and consumer lag."""

    def __init__(self, worker: StreamWorker, lag: GroupLag) -> None:
        self.worker = worker
        self.lag = lag

    async def look(self) -> Standing:
        """Return the worker's current health."""
        if (stopped := self.stopped()) is not None:
            return Standing(None, away=stopped)
        parts = self.worker.parts
        if parts is None:
            return Standing(None)
        mine = {(tp.topic, tp.partition) for tp in assigned(parts.app) if tp.topic in SOURCE_TOPICS}
        lag = await self.lag.measure(mine)
        await self.look_for_losses(lag)
        steps = tuple((lane.steps, lane.ownership.loaded) for lane in parts.lanes)
        todo = self.joining(parts)
        if todo is None and lag is not None and lag.behind:
            todo = f"{lag.behind} messages are not committed"
        return Standing((lag and lag.committed, steps), todo, self.lag.away)

    async def look_for_losses(self, lag: Lag | None) -> None:
        """Count the records that Kafka deleted before the group read them."""
        if lag is None or self.lag.consumer is None:
            return
        committed = {TopicPartition(topic, number): offset for topic, number, offset in lag.committed}
        with contextlib.suppress(KafkaError, OSError, TimeoutError):  # the next check asks again
            beginnings = await self.lag.consumer.beginning_offsets(list(committed))
            self.worker.losses.observe(committed, beginnings)

    def joining(self, parts: StreamParts) -> str | None:
        """Return the step that the worker still has to take before it can work; None once it works."""
        app = parts.app
        if not app.started:
            return "Faust is starting"
        if app.rebalancing:
            return "the group is rebalancing"
        if not app.tables.recovery.completed.is_set():
            return "Faust is taking up its partitions"
        loading = {partition for lane in parts.lanes for partition in lane.ownership.loading}
        return f"the states of partitions {sorted(loading)} are being read" if loading else None

    def stopped(self) -> str | None:
        """Return why the worker stays up without computing; None while it works."""
        if self.worker.refused is not None:
            return self.worker.refused
        lanes = self.worker.parts.lanes if self.worker.parts is not None else []
        return next((lane.stopped for lane in lanes if lane.stopped is not None), None)

    def not_ready(self) -> str | None:
        """Return why the worker is not ready; None if it is."""
        parts = self.worker.parts
        return "starting" if parts is None else self.joining(parts) or self.lag.away


def assigned(app: StreamApp) -> set[TP]:
    """Return the worker's current partitions."""
    try:
        return set(app.consumer.assignment())
    except ConsumerNotStarted:
        return set()
