"""The message of the scope-counts topic: one scope's counts in one source partition."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import fastavro

from evometrics.schemas.topics import SCOPE_COUNTS
from evometrics.streams.formulas.windows import Counts, Scope, Window
from evometrics.streams.producer import Message

#: The latest time that a row can have in ClickHouse, the end of the year 2299.
LATEST_SECONDS = 10_413_792_000

AVRO = fastavro.parse_schema(
    {
        "type": "record",
        "name": "evometrics.state.ScopeCounts",
        "fields": [
            {"name": "source_partition", "type": "int"},
            {
                "name": "counts",
                "type": {"type": "array", "items": {"type": "array", "items": "long"}},
            },
        ],
    }
)


@dataclass(slots=True)
class ScopeCounts:
    """The newest counts of one scope in one source partition, by window.

    Holds the steps that changed, with their full counts (not increments): reading a message twice, or an
    older one after a newer one, changes nothing.
    """

    source_partition: int
    counts: list[Counts]

    def message(self, scope: Scope) -> Message:
        """Return the message; each window is a flat list in it: step, attempts, successes, step, ..."""
        packed = [[n for step, (a, s) in window.items() for n in (step, a, s)] for window in self.counts]
        out = io.BytesIO()
        fastavro.schemaless_writer(out, AVRO, {"source_partition": self.source_partition, "counts": packed})
        return Message(SCOPE_COUNTS, scope.key.encode(), out.getvalue())

    @classmethod
    def decode(cls, value: bytes) -> ScopeCounts:
        """Decode a message's value. Raises whatever decoding invalid bytes leads to."""
        data = io.BytesIO(value)
        record = fastavro.schemaless_reader(data, AVRO, None)
        assert isinstance(record, dict)
        if data.tell() != len(value):
            raise ValueError("trailing bytes after the counts")
        unpacked = [
            dict(zip(w[0::3], zip(w[1::3], w[2::3], strict=True), strict=True)) for w in record["counts"]
        ]
        return cls(record["source_partition"], unpacked)

    def check(self, windows: Sequence[Window]) -> None:
        """Raise `ValueError` if no stream can have produced these counts, although the bytes can be read."""
        if self.source_partition < 0 or len(self.counts) != len(windows):
            raise ValueError(f"has {len(self.counts)} windows of partition {self.source_partition}")
        for window, counts in zip(windows, self.counts, strict=True):
            last = LATEST_SECONDS // window.step_seconds
            for step, (attempts, successes) in counts.items():
                if not (0 <= step < last and 0 <= successes <= attempts):
                    raise ValueError(f"counts {successes} of {attempts} in step {step}")
