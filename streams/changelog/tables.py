"""State tables: bytes by partition and key, kept in changelog topics; a partition has one owner at a time.

Faust's own tables are not used: their recovery silently loses states across rebalances. Here a partition's
owner reads its changelogs itself, before it computes anything (`ownership`).

A worker that was paused and wakes up after its partitions were reassigned may still write to their
changelogs. So an owner begins by writing a marker to each of them, and prefixes the keys that it writes with
the marker's offset, its epoch. Readers ignore records that follow a marker but carry another epoch: all
readers agree on what counts, from the order in the log alone. A marker may be late as well; each has a term,
one above the last that its writer had read, and counts only if it is higher than all before it.

Nor may compaction keep an ignored value instead of the one that counts. An owner's keys differ from those of
late writes, and a tombstone deletes what no longer counts. Until the owner has rewritten a key, a late value
may follow the one that counts under the same key; but late values come from uncommitted batches, so the owner
is about to process them, and compaction leaves the newest records untouched for longer than that takes
(`topics`).

A tombstone of the present owner's epoch deletes a key. One of any other epoch only tidies up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from evometrics.streams.producer import Message, OutputProducer

#: Key of the markers; shorter than any other.
MARKER = b"owner"
#: Length in bytes of the epoch (an offset) that prefixes keys, and of the term in a marker's value; both
#: big-endian.
EPOCH_BYTES = 8


def changelog_key(epoch: int, key: bytes) -> bytes:
    """Return the changelog key of a state written in an epoch."""
    return epoch.to_bytes(EPOCH_BYTES, "big") + key


def marker(topic: str, term: int, partition: int) -> Message:
    return Message(topic, MARKER, term.to_bytes(EPOCH_BYTES, "big"), partition)


@dataclass(slots=True)
class ChangelogReplay:
    """Replays one partition's changelog from the beginning; pure.

    Attributes:
        values: the values that count, by key.
        epochs: the epochs they were written in.
        marker: offset of the last marker that counts, -1 before the first.
        term: its term, 0 before the first.
        obsolete: changelog keys of values that do not count.
    """

    values: dict[bytes, bytes] = field(default_factory=dict)
    epochs: dict[bytes, int] = field(default_factory=dict)
    marker: int = -1
    term: int = 0
    obsolete: set[bytes] = field(default_factory=set)

    def add(self, offset: int, key: bytes, value: bytes | None) -> None:
        """Apply the next record; a value of None is a tombstone."""
        if key == MARKER:
            term = int.from_bytes(value or b"", "big")
            if term > self.term:
                self.term, self.marker = term, offset
            return
        epoch, name = int.from_bytes(key[:EPOCH_BYTES], "big"), key[EPOCH_BYTES:]
        known = self.epochs.get(name, -1)
        if value is None:
            self.obsolete.discard(key)
            if epoch >= known and self.marker in (-1, epoch):
                self.delete(name, epoch)
        elif epoch < known or self.marker not in (-1, epoch):
            self.obsolete.add(key)
        else:
            if -1 < known < epoch:
                self.obsolete.add(changelog_key(known, name))
            self.values[name] = value
            self.epochs[name] = epoch

    def delete(self, name: bytes, epoch: int) -> None:
        """Apply a deletion by the owner of an epoch."""
        known = self.epochs.pop(name, -1)
        self.values.pop(name, None)
        if -1 < known < epoch:
            self.obsolete.add(changelog_key(known, name))


class StateTable:
    """The partitions of one table that this worker owns.

    Args:
        name: the table's name.
        topic: its changelog topic.
    """

    def __init__(self, name: str, topic: str) -> None:
        self.name = name
        self.topic = topic
        self.data: dict[int, dict[bytes, bytes]] = {}
        self.epochs: dict[int, int] = {}
        # epochs of keys that have not been rewritten in our own epoch yet
        self.earlier: dict[int, dict[bytes, int]] = {}

    def keys(self) -> float:
        """Return the number of keys in memory; from any thread."""
        return float(sum(map(len, list(self.data.values()))))

    def partition(self, number: int) -> Mapping[bytes, bytes]:
        """Return one partition's values by key. Raises KeyError if this worker does not own it."""
        return self.data[number]

    async def adopt(self, producer: OutputProducer, number: int, replay: ChangelogReplay) -> None:
        """Start owning a partition; delete from its changelog whatever does not count."""
        await producer.send_all(Message(self.topic, key, None, number) for key in sorted(replay.obsolete))
        self.data[number] = replay.values
        self.earlier[number] = replay.epochs
        self.epochs[number] = replay.marker

    def drop(self, number: int) -> None:
        """Drop a partition that now belongs to another worker; writes under way keep our epoch."""
        self.data.pop(number, None)
        self.earlier.pop(number, None)

    async def write(
        self, producer: OutputProducer, writes: Iterable[tuple[int, Mapping[bytes, bytes | None]]]
    ) -> None:
        """Write values to the changelog, wait for the broker's acknowledgement, then apply them in memory.

        A partition's values arrive in order; None deletes a key.
        """
        writes = list(writes)
        await producer.send_all(
            message for partition, values in writes for message in self.messages(partition, values)
        )
        for partition, values in writes:
            # may have been revoked meanwhile
            data = self.data.get(partition)
            if data is not None:
                for key, value in values.items():
                    if value is None:
                        data.pop(key, None)
                    else:
                        data[key] = value

    def messages(self, partition: int, values: Mapping[bytes, bytes | None]) -> Iterable[Message]:
        """Yield the messages to write: each value, and a tombstone for its key of an earlier epoch."""
        epoch = self.epochs[partition].to_bytes(EPOCH_BYTES, "big")
        earlier = self.earlier.get(partition, {})
        for key, value in values.items():
            yield Message(self.topic, epoch + key, value, partition)
            before = earlier.pop(key, None) if earlier else None
            if before is not None:
                yield Message(self.topic, changelog_key(before, key), None, partition)
