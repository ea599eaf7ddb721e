"""A replay's checkpoints: what another process needs to go on after an interruption.

They are in tables of the run, so that any host can go on. A checkpoint is noted after the rows of all events
before it are stored; what was stored after the last one is stored again, the same rows under the same keys.
They hold the computations' states, of which each checkpoint adds what has changed since the last one, and
belong to one version of the program and one selection (`fingerprint`).

An insert of the interrupted process may still be under way when another goes on. So each checkpoint has a
random number, and names all those before it: states of a number that the last one does not name don't count.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import evometrics.schemas
import evometrics.sinks
import evometrics.streams
from evometrics.sinks.replay.shadow import ShadowTables
from evometrics.streams.offline import Change

#: A replay that was interrupted longer ago than this begins again.
RESUMABLE_HOURS = 24
#: Bytes of states per insert, about.
INSERT_BYTES = 32 * 1024 * 1024
#: Of a compiled module that is not Python there is a twin that is, and is shipped everywhere.
SOURCES = {".py", ".avsc", ".sql"}
CODE = (evometrics.schemas, evometrics.streams, evometrics.sinks)


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """How far a replay has come.

    Attributes:
        fingerprint: of the program, the selection and the source (`fingerprint`).
        begun: when it began to read, by ClickHouse's clock, milliseconds.
        source: what the source knows (`EventSource.known`).
        passed: where the source goes on.
        computed: whether all is computed.
        watermark: the largest event time so far, microseconds.
        events, rows, unreadable, made: as in `Computed` and `Replay`.
        number: rows that were given an offset.
        chain: the numbers of the checkpoints that hold the states, oldest first.
    """

    fingerprint: str
    begun: int
    source: dict[str, Any]
    passed: int = 0
    computed: bool = False
    watermark: int | None = None
    events: int = 0
    rows: int = 0
    unreadable: int = 0
    made: int = 0
    number: int = 0
    chain: list[int] = field(default_factory=list)


@cache
def code_digest() -> str:
    """Return a digest of the program: its version, and the sources of the parts that compute.

    It is the same whether and by what compiler they were compiled: the results are.
    """
    digest = hashlib.blake2b(version("evometrics").encode(), digest_size=16)
    for package in CODE:
        folder = Path(package.__path__[0])
        for path in sorted(folder.rglob("*")):
            if path.suffix in SOURCES:
                digest.update(f"{path.relative_to(folder)} ".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def fingerprint(*about: Any) -> str:
    """Return what only replays that compute the same have in common; `about`: values for JSON."""
    return hashlib.blake2b(json.dumps([code_digest(), *about]).encode(), digest_size=16).hexdigest()


class InterruptedRun(NamedTuple):
    """A run that another can go on with: its tables, by the name of the run, and how far it came."""

    run: str
    tables: frozenset[str]
    progress: ReplayProgress


async def interrupted(shadow: ShadowTables, wanted: str) -> InterruptedRun | None:
    """Return the run of a fingerprint that was interrupted last; None without one."""
    found: list[tuple[int, InterruptedRun]] = []
    for run, names in (await shadow.left()).items():
        table = shadow.of_run(run, "checkpoints")
        if table not in names:
            continue
        sql = (
            f"SELECT toUnixTimestamp64Milli(at), about FROM {table} "
            f"WHERE at > now64(3) - INTERVAL {RESUMABLE_HOURS} HOUR ORDER BY at DESC LIMIT 1"
        )
        for at, about in await shadow.rows(sql):
            noted = json.loads(about)
            if noted.get("fingerprint") != wanted:  # what another build has noted may have other names
                continue
            progress = ReplayProgress(**noted)
            tables = shadow.wanted(run, progress.source["topics"])
            if tables <= set(names):
                found.append((int(at), InterruptedRun(run, frozenset(tables), progress)))
    return max(found, key=lambda each: each[0])[1] if found else None


class Checkpoints:
    """The checkpoints of one run. Every call raises as `ShadowTables` does."""

    def __init__(self, shadow: ShadowTables) -> None:
        self.shadow = shadow

    async def save(self, progress: ReplayProgress, changes: Sequence[Change]) -> None:
        """Store a checkpoint: first the changes of the states, under the last number of its chain."""
        if changes:
            for rows in encoded(progress.chain[-1], changes):
                columns = ("checkpoint", "name", "partition", "key", "gone", "value")
                await self.shadow.raw_insert(self.shadow.states, columns, rows, "RowBinary", UNIQUE)
        row = {"about": json.dumps(asdict(progress))}
        rows = json.dumps(row).encode()
        await self.shadow.raw_insert(self.shadow.checkpoints, ("about",), rows, "JSONEachRow", UNIQUE)

    async def states(self, progress: ReplayProgress) -> AsyncGenerator[Change, None]:
        """Yield the states as of a checkpoint."""
        given = {"chain": progress.chain}
        found = f"FROM {self.shadow.states} WHERE checkpoint IN ({{chain:Array(UInt64)}})"
        for name, partition in await self.shadow.rows(f"SELECT DISTINCT name, partition {found}", given):
            sql = (
                "SELECT key, argMax((gone, value), indexOf({chain:Array(UInt64)}, checkpoint)) AS last "
                f"{found} AND name = {{name:String}} AND partition = {{partition:Int32}} "
                "GROUP BY key HAVING NOT last.1"
            )
            about = given | {"name": name, "partition": partition}
            values = await self.shadow.rows(sql, about, {"String": "bytes"})
            yield Change(str(name), int(partition), {key: last[1] for key, last in values})


#: Two inserts may be equal.
UNIQUE = {"insert_deduplicate": 0}


def new_number() -> int:
    """Return a number for a checkpoint."""
    return secrets.randbits(63)


def encoded(number: int, changes: Sequence[Change]) -> Iterator[bytes]:
    """Yield the rows of a checkpoint's changes as RowBinary, some at a time."""
    rows: list[bytes] = []
    size = 0
    for name, partition, values in changes:
        head = (
            number.to_bytes(8, "little") + text(name.encode()) + partition.to_bytes(4, "little", signed=True)
        )
        for key, value in values.items():
            row = head + text(key) + (b"\x01\x00" if value is None else b"\x00" + text(value))
            rows.append(row)
            size += len(row)
            if size >= INSERT_BYTES:
                yield b"".join(rows)
                rows, size = [], 0
    if rows:
        yield b"".join(rows)


def text(value: bytes) -> bytes:
    """Return a value as RowBinary has it: its length, seven bits a byte, then the value."""
    length, prefix = len(value), bytearray()
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + value
