"""Completions as the stream needs them: the fields it counts by, and the results of each by itself.

Nearly all are read by the quick reader (`rows`), which assembles the row from the datum's own bytes where it
is compiled. Those that it does not accept are read by the functions that all readers share, and their row is
defined by `outcome.evolution_metrics`. The tests compare the two.
"""

from __future__ import annotations

from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.evolutions.joining import lacking
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.evolutions.snapshots import snapshots_of
from evometrics.schemas.wire.binary import UNUSUAL
from evometrics.schemas.wire.framing import WireFormat
from evometrics.schemas.wire.reading import Record, read_event
from evometrics.streams.rows.rows import Completion, CompletionReader


class MetricsRows:
    """Reads the messages of completions."""

    def __init__(self, wire: WireFormat) -> None:
        self.wire = wire
        self.prefix = wire.prefixes[EvolutionCompleted.record]
        self.reader = CompletionReader(wire)

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
        """Return the completion in a value that the quick reader accepts, else None."""
        if value is None or not value.startswith(self.prefix):
            return None
        try:
            return self.reader.read(value, len(self.prefix), now)
        except UNUSUAL:
            return None
