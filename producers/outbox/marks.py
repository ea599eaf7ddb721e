"""Which rows of an outbox the broker has although they could not be deleted for lack of disk space.

To delete a row SQLite first has to write, which it can't on a full disk. So the rows are marked as sent in
the lock file's first block, which is allocated when the outbox is made: overwriting it needs no space. A
process that adopts the outbox sends none of these rows again. Once there is room they are deleted; an outbox
whose rows are all marked is deleted as a whole, which needs no space either. Marks are never undone: numbers
only grow.

The marks are a number up to which all rows are sent, and a bit for each row after it, because partitions
acknowledge out of order. Two slots are written alternately, so that a crash during a write leaves the other.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Callable, Collection, Iterable

#: The block that a lock file occupies from the beginning.
BLOCK = 4096
HEAD = struct.Struct("<4sIQQ")
MAGIC = b"sent"
SLOTS = (512, 2304)
SLOT_BYTES = 1792
#: How far beyond `upto` a row can be marked.
SPAN = (SLOT_BYTES - HEAD.size) * 8


class SentMarks:
    """The marks of one outbox.

    Attributes:
        upto: all rows numbered up to this are sent.
        beyond: the rows after it that are sent.
    """

    def __init__(self, descriptor: int) -> None:
        """`descriptor`: of the lock file, whose marks are read."""
        self.descriptor = descriptor
        self.generation, self.upto = 0, 0
        self.beyond: frozenset[int] = frozenset()
        slots = [read_slot(os.pread(descriptor, SLOT_BYTES, at)) for at in SLOTS]
        for generation, upto, beyond in filter(None, slots):
            if generation > self.generation:
                self.generation, self.upto, self.beyond = generation, upto, beyond

    def __contains__(self, seq: int) -> bool:
        return seq <= self.upto or seq in self.beyond

    @property
    def last(self) -> int:
        """The highest marked number; 0 = none is marked."""
        return max(self.beyond, default=self.upto)

    def add(self, numbers: Iterable[int], rows_after: Callable[[int], Iterable[int]]) -> None:
        """Mark rows; `rows_after` gives the numbers of the outbox's rows after one, in order.

        Raises OSError, also where a row is too far beyond the first one that is not sent.
        """
        upto, beyond = self.upto, {*self.beyond, *numbers}
        for seq in rows_after(upto):
            if seq not in beyond:
                upto = seq - 1
                break
        else:
            upto = max(beyond, default=upto)
        beyond = {seq for seq in beyond if seq > upto}
        if beyond and max(beyond) - upto > SPAN:
            raise OSError(
                errno.ENOSPC,
                f"no room to mark events sent out of order after event {upto}",
            )
        self.put(upto, beyond)

    def put(self, upto: int, beyond: Collection[int]) -> None:
        bits = 0
        for seq in beyond:
            bits |= 1 << (seq - upto - 1)
        body = HEAD.pack(MAGIC, 0, self.generation + 1, upto)[8:]
        body += bits.to_bytes(SLOT_BYTES - HEAD.size, "little")
        data = MAGIC + zlib.crc32(body).to_bytes(4, "little") + body
        os.pwrite(self.descriptor, data, SLOTS[(self.generation + 1) % 2])
        # As durable as the deletion that it stands for.
        os.fsync(self.descriptor)
        self.generation += 1
        self.upto, self.beyond = upto, frozenset(beyond)


def read_slot(data: bytes) -> tuple[int, int, frozenset[int]] | None:
    """Return the generation, `upto` and `beyond` that a slot holds, None where its content is incomplete."""
    if len(data) < SLOT_BYTES:
        return None
    magic, checksum, generation, upto = HEAD.unpack_from(data)
    if magic != MAGIC or zlib.crc32(data[8:]) != checksum:
        return None
    bits = int.from_bytes(data[HEAD.size :], "little")
    return generation, upto, frozenset(upto + 1 + n for n in range(bits.bit_length()) if bits >> n & 1)
