"""The partition of a key: one answer for every part that chooses partitions itself."""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import DefaultPartitioner

#: Cached keys: the hash is plain Python, and costs more than most other work on a message.
REMEMBERED = 262_144

partitioner = DefaultPartitioner()


@lru_cache(maxsize=REMEMBERED)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key among this many, as Kafka's default partitioner (murmur2) does."""
    everyone = list(range(partitions))
    return int(partitioner(key, everyone, everyone))
