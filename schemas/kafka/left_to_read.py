"""What is left to read of a partition: not what retention has passed, nor offsets that hold no message.

An offset is no message where Kafka keeps a mark of its own there, as at the end of each transaction of a
producer that uses them. No consumer is ever given it, so that a group stays behind the end for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

POLL_MS = 500


class Span(NamedTuple):
    """Offsets of a partition from `first` up to but without `end`."""

    first: int
    end: int


async def left_to_read(
    consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]
) -> dict[TopicPartition, Span]:
    """Return what the broker still has from these offsets on, of the partitions where that is anything."""
    ends = await consumer.end_offsets(list(offsets))
    behind = [tp for tp, end in ends.items() if offsets[tp] < end]
    begins = await consumer.beginning_offsets(behind) if behind else {}
    spans = {tp: Span(max(offsets[tp], begins[tp]), ends[tp]) for tp in behind}
    return {tp: span for tp, span in spans.items() if span.first < span.end}


async def holds_message(consumer: AIOKafkaConsumer, partition: TopicPartition, span: Span) -> bool:
    """Tell whether there is a message in a span; the consumer is given the partition, and has no group."""
    consumer.assign([partition])
    consumer.seek(partition, span.first)
    while await consumer.position(partition) < span.end:
        if await consumer.getmany(partition, timeout_ms=POLL_MS, max_records=1):
            return True
    return False
