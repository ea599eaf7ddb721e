"""The most recently committed rows, handed from the outbox's thread to the publisher in memory.

Reading them back from SQLite would cost as much as writing them did. They are on disk all the same: this is a
copy of the file's newest rows, kept as long as the publisher has read all rows before them and they are few.
A publisher that has fallen behind reads the file until it has caught up.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from evometrics.producers.outbox.row import Row, size_of

#: Most bytes of rows waiting here.
MOST_BYTES = 8_000_000


class HandOver:
    """Used by the outbox's thread (`committed`, `drop`) and by the publisher's (`take`, `read_to`).

    Attributes:
        committed_upto: seq of the last committed row.
        read_upto: seq of the last row that the publisher has read, or that was shed before it was read.
        reading: held while rows are read from the file, and while rows after `read_upto` are removed.
    """

    def __init__(self) -> None:
        self.committed_upto = 0
        self.read_upto = 0
        self.reading = threading.Lock()
        self.lock = threading.Lock()
        self.rows: deque[Row] = deque()
        self.size = 0

    def committed(self, rows: Sequence[Row]) -> None:
        """Add rows that are on disk now, numbered consecutively from `committed_upto` + 1."""
        size = size_of(rows)
        with self.lock:
            before = self.rows[-1].seq if self.rows else self.read_upto
            if before == self.committed_upto and self.size + size <= MOST_BYTES:
                self.rows.extend(rows)
                self.size += size
            self.committed_upto = rows[-1].seq

    def take(self, limit: int) -> list[Row]:
        """Return up to `limit` rows after `read_upto`; none where they have to be read from the file."""
        with self.lock:
            rows = [self.rows.popleft() for _ in range(min(limit, len(self.rows)))]
            if rows:
                self.read_upto = rows[-1].seq
                self.size -= size_of(rows)
        return rows

    def read_to(self, seq: int) -> None:
        """Note what the publisher has read from the file; 0 = it starts again from the beginning."""
        with self.lock:
            self.read_upto = seq
            self.clear()

    def copy(self) -> list[Row]:
        """Return the rows that were not taken."""
        with self.lock:
            return list(self.rows)

    def drop(self) -> None:
        """Discard the copies of rows that were not taken; they are read from the file."""
        with self.lock:
            self.clear()

    def clear(self) -> None:
        self.rows.clear()
        self.size = 0
