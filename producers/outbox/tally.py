"""How many events an outbox should hold, kept outside its database so that damage can be quantified.

The figures are in the lock file, not in the database: a WAL that is truncated or lost takes with it every
trace of its rows. They are written before and after each commit without an fsync, because the kernel keeps
them when the process dies; after a restart of the machine they may be older than the database, which is
recognized by the boot id that they were written with.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

MAGIC = b"evometrics-outbx"
#: Magic, boot id, the state before the newest commit and the state after it, the process that uses the
#: outbox;
#: then a CRC-32.
LAYOUT = struct.Struct("<16s16s3q3qq")
BYTES = LAYOUT.size + 4
BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")


class Held(NamedTuple):
    """What an outbox holds: `rows` rows, none numbered below `first` or above `last`."""

    rows: int = 0
    first: int = 1
    last: int = 0


@dataclass(frozen=True, slots=True)
class TallyRecord:
    """A tally as it was found; the newest commit may or may not be in the database.

    Attributes:
        process: id of the process that made or adopted the outbox.
    """

    before: Held
    after: Held
    this_boot: bool
    process: int

    def expected(self, last: int) -> int:
        """Return how many rows there must be at least, where the highest number found is `last`."""
        if last > self.before.last:
            return self.after.rows
        return min(self.before.rows, self.after.rows)


def boot() -> bytes:
    """Return the id of the machine's current boot; empty where the system has none."""
    try:
        return bytes.fromhex(BOOT_FILE.read_text().strip().replace("-", ""))[:16]
    except (OSError, ValueError):
        return b""


def read_record(data: bytes) -> TallyRecord | None:
    """Return the tally that a lock file holds, None where it holds no complete one."""
    if len(data) < BYTES or zlib.crc32(data[: LAYOUT.size]) != int.from_bytes(
        data[LAYOUT.size : BYTES], "little"
    ):
        return None
    magic, in_boot, *figures, process = LAYOUT.unpack_from(data)
    if magic != MAGIC:
        return None
    this = boot()
    return TallyRecord(Held(*figures[:3]), Held(*figures[3:]), bool(this) and in_boot == this, process)


class OutboxTally:
    """Keeps the figures of one outbox in its lock file."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.boot = boot()
        self.process = os.getpid()
        self.held = Held()
        self.expects = Held()

    def begin(self, held: Held) -> None:
        """Note what an outbox holds as it is taken over."""
        self.held = self.expects = held
        self.put()

    def expect(self, removed: int, first: int | None, added: int, last: int) -> None:
        """Note what a commit is about to do; `first`: the lowest number that stays, None = none stays."""
        held = self.held
        if first is None or held.rows == removed:
            first = last - added + 1 if added else held.last + 1
        # rows that are written again keep their numbers, so `last` may be below `held.last`
        self.expects = Held(held.rows - removed + added, first, max(held.last, last))
        self.put()

    def done(self) -> None:
        """Note that the commit is in the database."""
        self.held = self.expects
        self.put()

    def put(self) -> None:
        """Write both states."""
        data = LAYOUT.pack(MAGIC, self.boot, *self.held, *self.expects, self.process)
        os.pwrite(self.descriptor, data + zlib.crc32(data).to_bytes(4, "little"), 0)
