"""Kafka transport for Faust that delivers one message per fetched partition batch (design section 8).

Faust's cost per message is paid once per batch. The batch message carries the last record's offset, so
Faust acknowledges, commits and rebalances as ever. There are no other messages: the app has no tables of
Faust's.

Two things are replaced. Both rest on this: batches of a partition are taken in order and without gaps,
from the committed offset on (`ownership`).

- Faust holds a commit back until every offset before it was acknowledged, and takes the offsets inside a
  batch for gaps. Its bookkeeping of gaps counts a batch's last offset twice, and then stops committing a
  partition for good. Here the newest acknowledged offset is what to commit.
- While a group rebalances Faust fetches records and drops them, and its seek to the committed offsets
  comes after the first records were let through, or not at all where nothing is committed. Here nothing is
  fetched before that seek, and it goes to the beginning where nothing is committed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage

import evometrics.schemas.kafka.offsets  # noqa: F401 - mends what the driver reads

NOTHING_TO_FETCH_SECONDS = 0.1
SEEK_SECONDS = 30.0


class SeekTimedOut(RuntimeError):
    """The broker did not tell the committed offsets; a restart asks it again."""


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
    """Yields one `BatchMessage` per partition and fetch.

    Attributes:
        revocations: how often partitions were revoked.
        assigned_at, sought_at: what that was as partitions were last assigned, and last sought to their
            committed offsets.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.revocations = 0
        self.assigned_at = -1
        self.sought_at = -1

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        # the library takes no partitions for all
        if not active_partitions or self.sought_at != self.revocations:
            await self.sleep(NOTHING_TO_FETCH_SECONDS)
            return {}
        fetched = await super()._getmany(active_partitions, timeout)
        if self.sought_at != self.revocations:
            return {}
        return {tp: [RecordBatch(records)] for tp, records in fetched.items() if records}

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Called before the group rebalances."""
        self.revocations += 1
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Called when the worker knows its partitions."""
        self.assigned_at = self.revocations
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Read on from the committed offsets; from the beginning where there is none, or none that counts."""
        revocations = self.revocations
        try:
            async with asyncio.timeout(SEEK_SECONDS):
                await super().perform_seek()
                for tp in await self.app.stale(self.assignment()):
                    self._committed_offset[tp] = self._read_offset[tp] = None
                fresh = [tp for tp in self.assignment() if not self._committed_offset[tp]]
                if fresh:
                    await self._thread.seek_to_beginning(*map(driver.ensure_aiokafka_TP, fresh))
        except TimeoutError as error:
            # Faust would take it for a stop of its recovery, and never work again
            await self.app.crash(SeekTimedOut(f"no committed offsets within {SEEK_SECONDS} s"))
            raise SeekTimedOut from error
        except (AssertionError, IllegalStateError):
            # partitions that were revoked meanwhile can't be sought; the next assignment's seek counts
            if revocations == self.revocations:
                raise
        if self.assigned_at == revocations:
            self.sought_at = revocations

    async def confirm(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit offsets at once; False where the broker refuses, as it does after a rebalance."""
        confirmed: bool = await self._thread.call_thread(self._confirm, offsets)
        return confirmed

    async def _confirm(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """In the consumer's thread."""
        try:
            await self._thread._ensure_consumer().commit(self.named(offsets))
        except (CommitFailedError, IllegalStateError):
            return False
        return True

    def named(self, offsets: Mapping[Any, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return offsets to commit, each with the id of the topic that it is of (`next_offsets`)."""
        ids = self.app.sources.ids
        return {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, ids.get(tp.topic, ""))
            for tp, offset in offsets.items()
        }

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        committed: bool = await self._thread.call_thread(self._commit_named, offsets)
        return committed

    async def _commit_named(self, offsets: Mapping[TP, int]) -> bool:
        """In the consumer's thread, as the driver's own but for the ids."""
        assigned = self._thread.assignment()
        mine = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        self._thread.tp_last_committed_at.update(dict.fromkeys(mine, time.monotonic()))
        try:
            await self._thread._ensure_consumer().commit(self.named(mine))
        except CommitFailedError as error:
            if "already rebalanced" not in str(error):
                await self._thread.crash(error)
            return False
        except Exception as error:
            await self._thread.crash(error)
            return False
        return True

    def leave_for_good(self) -> None:
        """Have the consumer leave its group as it stops, though its place there is kept for its name.

        A static member is given the assignment that it had before, in which topics may lack that are there.
        """
        self._thread._ensure_consumer()._coordinator._group_instance_id = None

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

    def _to_message(self, tp: TP, record: RecordBatch) -> ConsumerMessage:
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
