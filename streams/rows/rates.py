"""The messages of success rates: defined by `windows.success_rate`, assembled in C (`rows.ScopeRows`).

A batch leads to at least three rows for each of its agents, which makes them most of what is produced. An
Avro record's encoding is its fields' encodings one after another (design section 8), and most of them are the
same in many rows: a scope's names, the figures of the same counts. So a scope's names are encoded once for a
batch, the figures are cached, and a row is assembled from both. A test compares each row with that of
`success_rate`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache

from evometrics.schemas.events import SuccessRate
from evometrics.schemas.ids import name_hash
from evometrics.schemas.topics import SUCCESS_RATES
from evometrics.schemas.wire.binary import write_long, write_longs, write_text
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.formulas.calculations import wilson_interval
from evometrics.streams.formulas.steps import affected_steps, within
from evometrics.streams.formulas.windows import RATE_IDENTITY, SECOND, Counts, Scope, Window
from evometrics.streams.producer import Message
from evometrics.streams.rows.rows import ScopeRows

#: Number of encoded figures that are cached.
REMEMBERED = 65_536
#: The fields in the order in which the pieces hold them.
FIELDS = [
    *("event_id", "agent_id", "node_id", "occurred_at", "scope", "scope_value"),
    *("window_seconds", "window_start", "window_end", "attempts", "successes"),
    *("success_rate", "wilson_low", "wilson_high", "version"),
]


class RateWriter:
    """Writes the messages of success rates."""

    def __init__(self, wire: WireFormat) -> None:
        names = [field["name"] for field in newest(SuccessRate.record).parsed["fields"]]
        assert names == FIELDS, "the record's fields differ from those of the pieces"
        self.prefix = wire.prefixes[SuccessRate.record]

    def rows(
        self,
        scope: Scope,
        changes: Iterable[tuple[Window, Counts, Iterable[int]]],
    ) -> list[Message]:
        """Return the messages of one scope's rows: for each window, its totals and changed steps."""
        kind, value = scope.kind, scope.value
        agent, node = value if kind == "agent" else "", value if kind == "node" else ""
        key = (agent or scope.key).encode()
        made = ScopeRows(
            self.prefix,
            name_hash(RATE_IDENTITY, kind, value, ""),
            write_text(agent) + write_text(node),
            write_text(kind) + write_text(value),
        )
        messages = []
        for window, totals, changed in changes:
            step_micros = window.step_seconds * SECOND
            for step in affected_steps(window, totals, changed):
                known = figures(*within(window, totals, step))
                row = made.row(window.seconds, (step + 1) * step_micros, known)
                messages.append(Message(SUCCESS_RATES.name, key, row))
        return messages


@lru_cache(REMEMBERED)
def figures(attempts: int, successes: int) -> bytes:
    """Return the encoded fields from attempts to version."""
    numbers = (successes / attempts, *wilson_interval(successes, attempts))
    return write_longs((attempts, successes)) + struct.pack("<3d", *numbers) + write_long(attempts)
