"""What the stream remembers, and the Avro datums it is kept as in changelog topics (see `tables`).

Every state knows the last source offsets applied to it, its fence: what it holds is not counted again.
"""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar

import fastavro

from evometrics.streams.windows import Counts

#: Events remembered per agent and kind, to know a duplicate by its event_id.
SEEN_LIMIT = 1024
#: Completions remembered per agent whose start has not come yet.
CLOSED_LIMIT = 256
#: Snapshots remembered per agent, to find the one before a late one.
SNAPSHOT_LIMIT = 128
NONE_APPLIED = -1


class State(Protocol):
    """What a value of a state table can do."""

    def to_record(self) -> dict[str, Any]:
        """Return the Avro record."""

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Build the state from its Avro record."""


S = TypeVar("S", bound=State)


def encode_state(state: State) -> bytes:
    """Return a state's bytes."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, AVRO[type(state)], state.to_record())
    return out.getvalue()


def decode_state(cls: type[S], value: bytes) -> S:
    """Return the state of these bytes."""
    return cls.from_record(fastavro.schemaless_reader(io.BytesIO(value), AVRO[cls], None))


class SeenIds:
    """The newest event ids, oldest first; knows a duplicate."""

    def __init__(self, packed: bytes = b"") -> None:
        self.ids = dict.fromkeys(packed[i : i + 16] for i in range(0, len(packed), 16))

    def add(self, event_id: str) -> bool:
        """Remember an id; return False where it was there already."""
        packed = uuid.UUID(event_id).bytes
        if packed in self.ids:
            return False
        self.ids[packed] = None
        if len(self.ids) > SEEN_LIMIT:
            del self.ids[next(iter(self.ids))]
        return True

    def pack(self) -> bytes:
        """Return the ids as bytes, 16 each."""
        return b"".join(self.ids)


def pack_counts(counts: list[Counts]) -> list[list[int]]:
    """Return counts as flat lists: step, attempts, successes, step, ..."""
    return [[n for step, (a, s) in window.items() for n in (step, a, s)] for window in counts]


def unpack_counts(packed: list[list[int]]) -> list[Counts]:
    """Return the counts of flat lists."""
    return [dict(zip(w[0::3], zip(w[1::3], w[2::3], strict=True), strict=True)) for w in packed]


@dataclass(slots=True)
class EvolutionState:
    """One agent's evolutions.

    Attributes:
        started_applied, completed_applied: last offsets applied, by topic.
        seen: ids of starts and completions.
        open: evolutions begun and not completed: their EvolutionStarted as message values.
        closed: evolutions completed whose start has not come yet.
        counts: attempts and successes of the agent, by window and step.
    """

    started_applied: int = NONE_APPLIED
    completed_applied: int = NONE_APPLIED
    seen: SeenIds = field(default_factory=SeenIds)
    open: dict[str, bytes] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    counts: list[Counts] = field(default_factory=list)

    def to_record(self) -> dict[str, Any]:
        return {
            "started_applied": self.started_applied,
            "completed_applied": self.completed_applied,
            "seen": self.seen.pack(),
            "open": self.open,
            "closed": self.closed,
            "counts": pack_counts(self.counts),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        record["seen"] = SeenIds(record["seen"])
        record["counts"] = unpack_counts(record["counts"])
        return cls(**record)


@dataclass(slots=True)
class ProgressState:
    """How far event time has come in one partition, by topic, microseconds; 0 before the first event."""

    started: int = 0
    completed: int = 0

    @property
    def watermark(self) -> int:
        """Event time that both topics have reached: one that is read behind holds it back."""
        return min(self.started, self.completed)

    def to_record(self) -> dict[str, Any]:
        return {"started": self.started, "completed": self.completed}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        return cls(**record)


@dataclass(slots=True)
class PartialState:
    """Counts of one scope within one source partition.

    Attributes:
        applied: last offset of the completions applied.
        counts: attempts and successes by window and step.
    """

    applied: int = NONE_APPLIED
    counts: list[Counts] = field(default_factory=list)

    def to_record(self) -> dict[str, Any]:
        return {"applied": self.applied, "counts": pack_counts(self.counts)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        return cls(record["applied"], unpack_counts(record["counts"]))


@dataclass(slots=True)
class ScopeState:
    """Counts of one scope, by source partition.

    Attributes:
        applied: last offset of the scope-counts topic applied.
        partitions: counts by window and step, by source partition.
    """

    applied: int = NONE_APPLIED
    partitions: dict[int, list[Counts]] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        packed = {str(number): pack_counts(counts) for number, counts in self.partitions.items()}
        return {"applied": self.applied, "partitions": packed}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        unpacked = {int(number): unpack_counts(counts) for number, counts in record["partitions"].items()}
        return cls(record["applied"], unpacked)


@dataclass(slots=True)
class SnapshotState:
    """One agent's newest KPI snapshots.

    Attributes:
        applied: last offset applied.
        seen: ids of snapshots.
        recent: message values, oldest first in event time.
        forgotten: whether older snapshots were dropped, so that a late one's predecessor may be unknown.
    """

    applied: int = NONE_APPLIED
    seen: SeenIds = field(default_factory=SeenIds)
    recent: list[bytes] = field(default_factory=list)
    forgotten: bool = False

    def to_record(self) -> dict[str, Any]:
        return {
            "applied": self.applied,
            "seen": self.seen.pack(),
            "recent": self.recent,
            "forgotten": self.forgotten,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        record["seen"] = SeenIds(record["seen"])
        return cls(**record)


@dataclass(slots=True)
class ScopeCounts:
    """Message of the scope-counts topic: the newest counts of one scope in one source partition.

    Holds the steps that changed, with their full counts (not increments): reading one twice, or an
    older one after a newer one, changes nothing.
    """

    source_partition: int
    counts: list[Counts]

    def to_record(self) -> dict[str, Any]:
        return {"source_partition": self.source_partition, "counts": pack_counts(self.counts)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        return cls(record["source_partition"], unpack_counts(record["counts"]))


COUNTS = {"type": "array", "items": {"type": "array", "items": "long"}}


def avro(name: str, **fields: Any) -> Any:
    """Return a parsed record schema."""
    listed = [{"name": field_name, "type": kind} for field_name, kind in fields.items()]
    return fastavro.parse_schema({"type": "record", "name": f"evometrics.state.{name}", "fields": listed})


AVRO: dict[type[Any], Any] = {
    EvolutionState: avro(
        "EvolutionState",
        started_applied="long",
        completed_applied="long",
        seen="bytes",
        open={"type": "map", "values": "bytes"},
        closed={"type": "array", "items": "string"},
        counts=COUNTS,
    ),
    ProgressState: avro("ProgressState", started="long", completed="long"),
    PartialState: avro("PartialState", applied="long", counts=COUNTS),
    ScopeState: avro("ScopeState", applied="long", partitions={"type": "map", "values": COUNTS}),
    SnapshotState: avro(
        "SnapshotState",
        applied="long",
        seen="bytes",
        recent={"type": "array", "items": "bytes"},
        forgotten="boolean",
    ),
    ScopeCounts: avro("ScopeCounts", source_partition="int", counts=COUNTS),
}
