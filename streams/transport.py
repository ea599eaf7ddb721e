"""Kafka transport for Faust that delivers one message per fetched partition batch (design section 8).

Faust's cost per message is paid once per batch. The batch message carries the last record's offset, so
Faust acknowledges, commits and rebalances as ever. Changelog topics take the ordinary path.

Two things are replaced. Both rest on this: batches of a partition come in order and without gaps, from
the committed offset on.

- Faust holds a commit back until every offset before it was acknowledged, and takes the offsets inside a
  batch for gaps. Its bookkeeping of gaps counts a batch's last offset twice, and then stops committing a
  partition for good. Here the newest acknowledged offset is what to commit.
- While a group rebalances Faust fetches records and drops them. A fetch that spans the rebalance takes
  what was just sought to, of changelogs too, so that recovery misses states; the seek to the committed
  offsets comes after the first records were let through, and leaves a partition without a committed
  offset where it is. Records were lost so. Here what such a fetch took is given back, no source record is
  fetched before the seek, and the seek goes to the beginning where nothing is committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.structs import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage

NOTHING_TO_FETCH_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive records of one partition, in offset order; never empty."""

    records: Sequence[ConsumerRecord]


class BatchMessage(ConsumerMessage):
    """A Faust message that stands for a whole batch of records.

    Attributes:
        records: the batch; `offset` and the other attributes are those of its last record.
    """

    __slots__ = ("records",)
    records: Sequence[ConsumerRecord]


class BatchConsumer(driver.Consumer):
    """Yields one `BatchMessage` per partition and fetch, and changelog records one by one.

    Attributes:
        sought: whether the partitions were sought to their committed offsets since they were assigned.
        revocations: how often partitions were revoked.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sought = False
        self.revocations = 0

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        wanted = {tp for tp in active_partitions or () if self.sought or self._is_changelog_tp(tp)}
        if not wanted:  # the library takes none for all
            await self.sleep(NOTHING_TO_FETCH_SECONDS)
            return {}
        revocations = self.revocations
        fetched = await super()._getmany(wanted, timeout)
        if revocations != self.revocations:
            # the library waits for the new assignment then, and fetches from that
            await self._thread.call_thread(
                self.give_back, {tp: r[0].offset for tp, r in fetched.items() if r}
            )
            return {}
        batches: dict[TP, Sequence[Any]] = {}
        for tp, records in fetched.items():
            if self._is_changelog_tp(tp):
                batches[tp] = records
            elif records:
                batches[tp] = [RecordBatch(records)]
        return batches

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Called before the group rebalances."""
        self.sought = False
        self.revocations += 1
        await super().on_partitions_revoked(revoked)

    def give_back(self, firsts: dict[TP, int]) -> None:
        """In the consumer's thread: fetch from these offsets again, unless that is to be done anyway."""
        consumer = self._thread._ensure_consumer()
        subscription = consumer._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        for tp, first in firsts.items():
            state = None
            if assignment is not None and assignment.active and tp in assignment.tps:
                state = assignment.state_value(driver.ensure_aiokafka_TP(tp))
            if state is not None and state.has_valid_position and state.position > first:
                consumer.seek(driver.ensure_aiokafka_TP(tp), first)

    async def perform_seek(self) -> None:
        """Read on from the committed offsets; from the beginning where there is none."""
        revocations = self.revocations
        await super().perform_seek()
        fresh = [
            tp for tp in self.assignment() if not self._is_changelog_tp(tp) and not self._committed_offset[tp]
        ]
        if fresh:
            await self._thread.seek_to_beginning(*map(driver.ensure_aiokafka_TP, fresh))
        # Faust also seeks while its flow is stopped; then the seek that counts is still to come
        self.sought = self.flow_active and revocations == self.revocations

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """The offsets between two messages are the batch's own."""

    def _new_offset(self, tp: TP) -> int | None:
        acked = self._acked[tp]
        if not acked:
            return None
        # kept until something newer is acknowledged: a commit that failed is tried again
        newest: int = max(acked)
        acked[:] = [newest]
        self._acked_index[tp] = {newest}
        return newest + 1

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, RecordBatch):
            return super()._to_message(tp, record)
        last = record.records[-1]
        message = BatchMessage(
            last.topic,
            last.partition,
            last.offset,
            last.timestamp / 1000,
            last.timestamp_type,
            None,
            None,
            None,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        message.records = record.records
        return message


class BatchTransport(driver.Transport):
    """The transport of `StreamApp`."""

    Consumer = BatchConsumer
