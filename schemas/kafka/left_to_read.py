"""What is left to read of a partition, without what retention has deleted or offsets that hold no message.

Kafka writes markers at some offsets, for example at the end of each transaction of a transactional producer.
No consumer ever receives them, so a group's committed offset stays behind the end permanently.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

POLL_MS = 500


class Span(NamedTuple):
    """Offsets of a partition from `first` up to but not including `end`."""

    first: int
    end: int


async def left_to_read(
    consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]
) -> dict[TopicPartition, Span]:
    """Return, for the partitions that have any, the offsets that the broker still has from these on."""
    ends = await consumer.end_offsets(list(offsets))
    behind = [tp for tp, end in ends.items() if offsets[tp] < end]
    begins = await consumer.beginning_offsets(behind) if behind else {}
    spans = {tp: Span(max(offsets[tp], begins[tp]), ends[tp]) for tp in behind}
    return {tp: span for tp, span in spans.items() if span.first < span.end}


async def holds_message(consumer: AIOKafkaConsumer, partition: TopicPartition, span: Span) -> bool:
    """Return whether a span contains a message; assigns the consumer, which must have no group."""
    consumer.assign([partition])
    consumer.seek(partition, span.first)
    while await consumer.position(partition) < span.end:
        if await consumer.getmany(partition, timeout_ms=POLL_MS, max_records=1):
            return True
    return False
