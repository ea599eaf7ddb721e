"""Kafka transport for Faust that delivers one message per fetched partition batch (design section 8).

Faust's cost per message is paid once per batch. The batch message carries the last record's offset, so Faust
acknowledges, commits and rebalances as usual. There are no other messages: the app has no tables of Faust's.

Two things are replaced. Both rely on batches of a partition being taken in order and without gaps, starting
at the committed offset (`ownership`).

- Faust delays a commit until every earlier offset was acknowledged, and takes the offsets inside a batch for
  gaps. Its gap bookkeeping counts a batch's last offset twice, and then stops committing a partition
  permanently. Here the newest acknowledged offset is the one to commit.
- While a group rebalances Faust fetches records and drops them, and it seeks to the committed offsets only
  after the first records were let through, or not at all if nothing is committed. Here nothing is fetched
  before that seek, and it goes to the beginning if nothing is committed.
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

import evometrics.schemas.kafka.offsets  # noqa: F401 - repairs the driver's reading of offsets

NOTHING_TO_FETCH_SECONDS = 0.1
SEEK_SECONDS = 30.0


class SeekTimedOut(RuntimeError):
    """The broker did not return the committed offsets in time; a restart asks again."""


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
        revocations: number of times partitions were revoked.
        assigned_at, sought_at: the value of `revocations` when partitions were last assigned, and when they
            were last sought to their committed offsets.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.revocations = 0
        self.assigned_at = -1
        self.sought_at = -1

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        # the library takes an empty set for all partitions
        if not active_partitions or self.sought_at != self.revocations:
            await self.sleep(NOTHING_TO_FETCH_SECONDS)
            return {}
        fetched = await super()._getmany(active_partitions, timeout)
        if self.sought_at != self.revocations:
            return {}
        return {tp: [RecordBatch(records)] for tp, records in fetched.items() if records}

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Check nothing: the watchdog sees a worker that makes no progress.

        Faust's own check only logs, and crashes the worker where it asks for a partition's position before
        the seek (AssertionError in aiokafka's `position`; faust-streaming 0.15.3, aiokafka 0.14.0).
        """

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Called before the group rebalances."""
        self.revocations += 1
        if self.app.membership is not None:
            self.app.membership.guard(self._thread._ensure_consumer()._coordinator)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Called when the worker learns its partitions."""
        self.assigned_at = self.revocations
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, or to the beginning where there is none that counts."""
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
            # Faust would mistake it for a stop of its recovery, and never resume work
            await self.app.crash(SeekTimedOut(f"no committed offsets within {SEEK_SECONDS} s"))
            raise SeekTimedOut from error
        except (AssertionError, IllegalStateError):
            # partitions revoked meanwhile can't be sought; the next assignment's seek counts
            if revocations == self.revocations:
                raise
        if self.assigned_at == revocations:
            self.sought_at = revocations

    async def confirm(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit offsets immediately; return False if the broker refuses, as it does after a rebalance."""
        confirmed: bool = await self._thread.call_thread(self._confirm, offsets)
        return confirmed

    async def _confirm(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Runs in the consumer's thread."""
        try:
            await self._thread._ensure_consumer().commit(self.named(offsets))
        except (CommitFailedError, IllegalStateError):
            return False
        return True

    def named(self, offsets: Mapping[Any, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return offsets to commit, each with its topic's id (`next_offsets`)."""
        ids = self.app.sources.ids
        return {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, ids.get(tp.topic, ""))
            for tp, offset in offsets.items()
        }

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        committed: bool = await self._thread.call_thread(self._commit_named, offsets)
        return committed

    async def _commit_named(self, offsets: Mapping[TP, int]) -> bool:
        """The driver's own method except for the topic ids; runs in the consumer's thread."""
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
        """Make the consumer leave its group when it stops, giving up its static membership.

        A static member that returns gets its previous assignment, which may lack topics created since.
        """
        self._thread._ensure_consumer()._coordinator._group_instance_id = None

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Ignore gaps: the offsets between two messages are the batch's own."""

    def _new_offset(self, tp: TP) -> int | None:
        acked = self._acked[tp]
        if not acked:
            return None
        # kept until a newer one is acknowledged: a failed commit is retried
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
