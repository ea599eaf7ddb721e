"""Kafka transport for Faust that delivers one message per fetched partition batch (design section 8).

Faust's cost per message is paid once per batch. The batch message carries the last record's offset, so
Faust acknowledges, commits and rebalances as ever. Changelog topics take the ordinary path.

One thing is replaced: Faust holds a commit back until every offset before it was acknowledged, and
takes the offsets inside a batch for gaps. Its bookkeeping of gaps counts a batch's last offset twice,
and then stops committing a partition for good. Batches of a partition are acknowledged in order here
(see `lane`), so the newest acknowledged offset is what to commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.structs import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage


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
    """Yields one `BatchMessage` per partition and fetch, and changelog records one by one."""

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        fetched = await super()._getmany(active_partitions, timeout)
        return {
            tp: records if self._is_changelog_tp(tp) else [RecordBatch(records)]
            for tp, records in fetched.items()
            if records
        }

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
