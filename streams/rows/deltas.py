"""Snapshots as the stream compares them, and the rows of their differences.

Nearly all are read by the quick reader (`rows`), which assembles the row from the datums' own bytes where it
is compiled. The others are read by the functions that all readers share, and their row is defined by
`calculations.kpi_delta`. The tests compare the two.
"""

from __future__ import annotations

from evometrics.schemas.events import KpiSnapshot
from evometrics.schemas.kpis.performance import KpiThresholds
from evometrics.schemas.wire.binary import UNUSUAL
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.reading import Record, read_event
from evometrics.streams.formulas.calculations import Measured, kpi_delta, measured
from evometrics.streams.rows.rows import DeltaRows, SnapshotKpis


class SnapshotRows:
    """Reads snapshots, and makes the rows of their differences.

    Args:
        thresholds: by which agents are judged; None for the usual ones.
    """

    def __init__(self, wire: WireFormat, thresholds: KpiThresholds | None = None) -> None:
        self.wire = wire
        self.thresholds = thresholds
        self.prefix = wire.prefixes[KpiSnapshot.record]
        self.rows = DeltaRows(wire, thresholds)

    def read(self, message: Record) -> SnapshotKpis:
        """Return a message's snapshot. Raises as `read_event` does."""
        value = message.value
        if value is not None and value.startswith(self.prefix):
            try:
                return self.rows.read(value, len(self.prefix), message.timestamp * 1000)
            except UNUSUAL:
                pass
        event = read_event(self.wire, message)
        assert value is not None
        return self.stored(value if value.startswith(self.prefix) else self.wire.encode(event))

    def stored(self, value: bytes) -> SnapshotKpis:
        """Return the snapshot in a value that was read before."""
        if not value.startswith(self.prefix):  # an older build stored it
            value = self.wire.encode(self.wire.decode(value))
        try:
            return self.rows.recall(value, len(self.prefix))
        except UNUSUAL:
            event = self.wire.decode(value)
            assert isinstance(event, KpiSnapshot)
            return SnapshotKpis(event, value)

    def row(self, now: SnapshotKpis, before: SnapshotKpis | None) -> bytes:
        """Return the row of a snapshot's difference from the agent's previous one (None for its first)."""
        try:
            return self.rows.row(now, before)
        except UNUSUAL:
            previous = None if before is None else self.measured(before)
            return self.wire.encode(kpi_delta(self.measured(now), previous, self.thresholds))

    def measured(self, snapshot: SnapshotKpis) -> Measured:
        """Return a snapshot in the form that the row is defined by."""
        event = self.wire.decode(snapshot.value)
        assert isinstance(event, KpiSnapshot)
        return measured(event)
