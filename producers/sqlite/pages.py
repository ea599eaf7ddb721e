"""Reads the rows of a SQLite table page by page, for files so damaged that SQLite itself gives up.

Nothing here trusts its input: an invalid page or cell yields no row, and the caller verifies each row.
Format: https://sqlite.org/fileformat2.html
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

#: Page 1 begins with the file's header.
HEADER_BYTES = 100
LEAF, FREE, ROOT, BRANCH = 13, 2, 1, 5
WAL_HEADER_BYTES, FRAME_BYTES = 32, 24
MASK = 0xFFFFFFFF
#: A longer chain of overflow pages is not a valid one.
MOST_PAYLOAD = 100_000_000

Column: TypeAlias = int | float | str | bytes | None


@dataclass(slots=True)
class WalFrames:
    """Where each page is in a WAL.

    Attributes:
        newest: by page number, the offset of the page in its newest complete and committed frame.
        others: offsets of pages that are damaged, truncated, or of a transaction whose end is missing.
        pages: pages of the database after the last commit; 0 = the WAL does not say.
    """

    newest: dict[int, int] = field(default_factory=dict)
    others: list[int] = field(default_factory=list)
    pages: int = 0


def checksum(first: int, second: int, data: bytes, order: str) -> tuple[int, int]:
    """Return a frame's checksum, continued from the previous one."""
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for index in range(0, len(words), 2):
        first = (first + words[index] + second) & MASK
        second = (second + words[index + 1] + first) & MASK
    return first, second


def read_wal(wal: bytes, page_bytes: int) -> WalFrames:
    """Return the frames of a WAL that belong to its newest generation.

    SQLite stops at the first frame with a wrong checksum. Each checksum continues the one stored before it,
    so the frames after a damaged one can still be verified.
    """
    found = WalFrames()
    order = "<" if wal[:4] == b"\x37\x7f\x06\x82" else ">"
    step = FRAME_BYTES + page_bytes
    starts = range(WAL_HEADER_BYTES, len(wal), step)
    salts = [wal[start + 8 : start + 16] for start in starts[:2]]
    salt = salts[0] if len(set(salts)) == 1 and salts else wal[16:24]
    before = wal[24:32]
    # After the last frame of this generation follow those of an older one.
    end = max((start for start in starts if wal[start + 8 : start + 16] == salt), default=0)
    pending: dict[int, int] = {}
    for start in starts:
        if start > end:
            break
        head = wal[start : start + FRAME_BYTES]
        page = wal[start + FRAME_BYTES : start + step]
        ours = head[8:16] == salt
        whole = len(page) == page_bytes and ours
        if whole and len(before) == len(head[16:24]) == 8:
            seed = struct.unpack(">II", before)
            got = checksum(*checksum(seed[0], seed[1], head[:8], order), page, order)
            whole = struct.pack(">II", *got) == head[16:24]
        before = head[16:24]
        if not whole:
            found.others.append(start + FRAME_BYTES)
            continue
        number, pages = struct.unpack(">II", head[:8])
        if number in pending:
            found.others.append(pending[number])
        pending[number] = start + FRAME_BYTES
        if pages:
            found.newest.update(pending)
            found.pages = pages
            pending = {}
            # The pages of a damaged commit are in no valid frame, so they stay among the others.
    found.others.extend(pending.values())
    return found


class Pages:
    """The pages of a database and its WAL, either of which may be missing."""

    def __init__(self, database: Path, wal: Path, page_bytes: int) -> None:
        self.page_bytes = page_bytes
        self.usable = page_bytes
        self.wal = wal.read_bytes() if wal.is_file() else b""
        self.frames = read_wal(self.wal, page_bytes)
        self.database = os.open(database, os.O_RDONLY | os.O_CLOEXEC) if database.is_file() else -1
        size = os.fstat(self.database).st_size if self.database >= 0 else 0
        in_file = -(-size // page_bytes)
        self.count = self.frames.pages or max(in_file, max(self.frames.newest, default=0))

    def close(self) -> None:
        if self.database >= 0:
            os.close(self.database)
            self.database = -1

    def page(self, number: int) -> bytes:
        """Return a page's newest content, truncated or empty where it can't be read."""
        start = self.frames.newest.get(number)
        if start is not None:
            return self.wal[start : start + self.page_bytes]
        if self.database < 0 or number < 1:
            return b""
        try:
            return os.pread(self.database, self.page_bytes, (number - 1) * self.page_bytes)
        except OSError:
            return b""

    def leaves(self) -> Iterator[bytes]:
        """Yield the pages that may hold rows: those in use, and others in the WAL."""
        entries = self.usable // 5
        table = b""
        for number in range(2, self.count + 1):
            place = (number - 2) % (entries + 1)
            if place == 0:
                table = self.page(number)
                continue
            entry = table[(place - 1) * 5 : place * 5]
            if entry == bytes((FREE, 0, 0, 0, 0)):
                continue
            page = self.page(number)
            if page[:1] == bytes((LEAF,)) or entry[:1] in (bytes((ROOT,)), bytes((BRANCH,))):
                yield page
        for start in self.frames.others:
            if (page := self.wal[start : start + self.page_bytes])[:1] == bytes((LEAF,)):
                yield page

    def rows(self, page: bytes, start: int = 0) -> Iterator[tuple[int, list[Column]]]:
        """Yield the rowid and columns of each valid cell of a leaf page."""
        count = int.from_bytes(page[start + 3 : start + 5], "big")
        for index in range(min(count, self.usable // 4)):
            at = start + 8 + 2 * index
            pointer = int.from_bytes(page[at : at + 2], "big")
            try:
                yield self.cell(page, pointer)
            except (ValueError, IndexError, OverflowError, struct.error):
                continue

    def cell(self, page: bytes, at: int) -> tuple[int, list[Column]]:
        """Return one cell. Raises ValueError or IndexError where it is invalid."""
        size, at = varint(page, at)
        rowid, at = varint(page, at)
        if not 0 < size <= MOST_PAYLOAD:
            raise ValueError(f"a payload of {size} bytes")
        local = size
        if size > self.usable - 35:
            least = (self.usable - 12) * 32 // 255 - 23
            local = least + (size - least) % (self.usable - 4)
            local = local if local <= self.usable - 35 else least
        payload = page[at : at + local]
        if local < size:
            payload += self.overflow(int.from_bytes(page[at + local : at + local + 4], "big"), size - local)
        if len(payload) != size:
            raise ValueError("a truncated payload")
        return rowid, columns(payload)

    def overflow(self, number: int, size: int) -> bytes:
        """Return the rest of a payload from its chain of overflow pages."""
        found = []
        while size > 0 and number > 0:
            page = self.page(number)
            if len(page) < 5:
                break
            found.append(page[4 : 4 + min(size, self.usable - 4)])
            size -= len(found[-1])
            number = int.from_bytes(page[:4], "big")
        return b"".join(found)


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a variable-length integer and where it ends."""
    value = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    value = value << 8 | data[at]
    return (value - 2**64 if value >= 2**63 else value), at + 1


def columns(payload: bytes) -> list[Column]:
    """Return the columns of a record."""
    end, at = varint(payload, 0)
    place = end
    found: list[Column] = []
    while at < end:
        kind, at = varint(payload, at)
        size = (kind - 12) // 2 if kind >= 12 else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind]
        data = payload[place : place + size]
        if len(data) != size:
            raise ValueError("a truncated record")
        place += size
        found.append(column(kind, data))
    return found


def column(kind: int, data: bytes) -> Column:
    """Return one value of a record."""
    if kind >= 12:
        return data.decode() if kind % 2 else data
    if kind == 7:
        return float(struct.unpack(">d", data)[0])
    if kind in (8, 9):
        return kind - 8
    return int.from_bytes(data, "big", signed=True) if kind else None


def table_definitions(database: Path, page_bytes: int) -> list[tuple[str, str]]:
    """Return the names and definitions that page 1 lists, where it is in the WAL but not yet in the file."""
    pages = Pages(database, database.with_name(database.name + "-wal"), page_bytes)
    try:
        found = []
        for _, values in pages.rows(pages.page(1), HEADER_BYTES):
            if len(values) == 5:
                found.append((str(values[1]), str(values[4])))
        return found
    finally:
        pages.close()


def page_bytes_of_wal(wal: Path) -> int:
    """Return the page size in a WAL's header; 0 where there is none."""
    try:
        with wal.open("rb") as file:
            size = int.from_bytes(file.read(12)[8:12], "big")
    except OSError:
        return 0
    return size if size in (2**n for n in range(9, 17)) else 0
