"""Completions as the stream needs them: the fields it counts by, and the results of each by itself.

Nearly all are read by the compiled reader, which assembles the row from the datum's own bytes. Those that it
does not accept are read by the functions that all readers share, and their row is defined by
`outcome.evolution_metrics`. The tests compare the two.
"""

from __future__ import annotations

from evometrics.schemas.events import EvolutionCompleted, EvolutionMetrics, KpiSnapshot
from evometrics.schemas.evolutions.joining import lacking
from evometrics.schemas.evolutions.outcome import METRICS_IDENTITY, evolution_metrics
from evometrics.schemas.evolutions.snapshots import snapshots_of
from evometrics.schemas.ids import name_hash
from evometrics.schemas.kpis.performance import FORMULA_KPIS, KPI_NAMES
from evometrics.schemas.rules.validation import MAX_AHEAD_MICROS, NAME_CHARACTERS, STATUSES
from evometrics.schemas.wire import codec
from evometrics.schemas.wire.binary import UNUSUAL
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.reading import Record, read_event
from evometrics.streams.rows.rows import Completion, CompletionReader, SnapshotWriter

#: KPIs that the compiled reader looks for: first the formula's, then others identified by their position.
IN_PLACE = (*FORMULA_KPIS, "performance", "overall_performance", "evaluation_count", "confidence_interval")
WANTED = (*IN_PLACE, *(name for name in KPI_NAMES if name not in FORMULA_KPIS))


class MetricsRows:
    """Reads the messages of completions."""

    def __init__(self, wire: WireFormat) -> None:
        self.wire = wire
        self.prefix = wire.prefixes[EvolutionCompleted.record]
        self.reader = CompletionReader(
            codec.fields_of(newest(EvolutionCompleted.record)),
            [name for name, _, _ in codec.fields_of(newest(EvolutionMetrics.record))],
            WANTED,
            STATUSES,
            NAME_CHARACTERS,
            MAX_AHEAD_MICROS,
            wire.prefixes[EvolutionMetrics.record],
            name_hash(METRICS_IDENTITY, ""),
            SnapshotWriter(
                [name for name, _, _ in codec.fields_of(newest(KpiSnapshot.record))],
                WANTED,
                wire.prefixes[KpiSnapshot.record],
                name_hash(KpiSnapshot.record, ""),
            ),
        )

    def read(self, message: Record) -> Completion:
        """Return a message's completion. Raises as `read_event` does."""
        now = message.timestamp * 1000
        done = self.quickly(message.value, now)
        if done is not None:
            return done
        event = read_event(self.wire, message)
        assert isinstance(event, EvolutionCompleted)
        done = self.quickly(self.wire.encode(event), now)  # an older schema wrote it
        if done is not None:
            return done
        snapshots = [self.wire.encode(each) for each in snapshots_of(event)]
        return Completion(event, lacking(event), self.wire.encode(evolution_metrics(event)), snapshots)

    def quickly(self, value: bytes | None, now: int) -> Completion | None:
        """Return the completion in a value that the compiled reader accepts, else None."""
        if value is None or not value.startswith(self.prefix):
            return None
        try:
            return self.reader.read(value, len(self.prefix), now)
        except UNUSUAL:
            return None
