"""The rows that a stream worker makes most: of completions, of KPI snapshots, and success rates.

Here they are made by the functions that define them. `rows.pyx` makes the same rows in C, from a datum's own
bytes, without an object for the event: a change to a record or to a formula is one there, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.evolutions.joining import lacking, lent_by
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.evolutions.snapshots import snapshots_of
from evometrics.schemas.kpis.performance import KpiThresholds
from evometrics.schemas.rules.screening import surely_valid
from evometrics.schemas.wire.binary import Unusual, write_longs, write_text
from evometrics.schemas.wire.codec import newest_codec
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.formulas.calculations import Measured, kpi_delta, measured

if TYPE_CHECKING:
    import hashlib

SECOND = 1_000_000


class Completion:
    """The fields by which the stream counts a completion, and the row that it leads to.

    Args:
        event: the completion.
        lacks: the fields that it lacks, as bits of `Lack`.
        row: message value of its `EvolutionMetrics`, from the completion alone.
        snapshots: message values of the snapshots made from its KPIs (`schemas.evolutions.snapshots`).
    """

    __slots__ = (
        *("agent_id", "event_id", "evolution_id", "evolution_type", "lacks", "node_id", "occurred_at", "row"),
        *("snapshots", "strategy_used", "success"),
    )

    def __init__(self, event: EvolutionCompleted, lacks: int, row: bytes, snapshots: list[bytes]) -> None:
        self.event_id = event.event_id
        self.agent_id = event.agent_id
        self.node_id = event.node_id
        self.evolution_id = event.evolution_id
        self.evolution_type = event.evolution_type
        self.strategy_used = event.strategy_used
        self.occurred_at = event.occurred_at
        self.success = event.success
        self.lacks = lacks
        self.row = row
        self.snapshots = snapshots


class CompletionReader:
    """Reads completions that the newest schema wrote.

    Args:
        wire: frames the rows.
    """

    def __init__(self, wire: WireFormat) -> None:
        self.wire = wire

    def read(self, value: bytes, start: int, now: int) -> Completion:
        """Return the completion whose datum extends from `start` to the value's end; `now` in microseconds.

        Raises one of `binary.UNUSUAL` if it is not encoded as writers write it, or not certainly valid.
        """
        event = newest_codec(EvolutionCompleted.record).read(value, start)
        assert isinstance(event, EvolutionCompleted)
        if not surely_valid(event, now):
            raise Unusual
        snapshots = [self.wire.encode(each) for each in snapshots_of(event)]
        return Completion(event, lacking(event), self.wire.encode(evolution_metrics(event)), snapshots)


class StartReader:
    """Inspects starts that the newest schema wrote."""

    def lends(self, value: bytes, start: int) -> int:
        """Return the fields that a start whose datum begins at `start` can lend, as bits of `Lack`.

        Raises one of `binary.UNUSUAL` if it is not encoded as writers write it.
        """
        event = newest_codec(EvolutionStarted.record).read(value, start)
        assert isinstance(event, EvolutionStarted)
        return lent_by(event)


class SnapshotKpis:
    """A snapshot as it is compared with its neighbours in event time.

    Args:
        event: the snapshot.
        value: its message value, written with the newest schema.
    """

    __slots__ = ("agent_id", "event_id", "measured", "node_id", "occurred_at", "value")

    def __init__(self, event: KpiSnapshot, value: bytes) -> None:
        self.event_id = event.event_id
        self.agent_id = event.agent_id
        self.node_id = event.node_id
        self.occurred_at = event.occurred_at
        self.value = value
        self.measured: Measured | None = None


class DeltaRows:
    """Reads snapshots that the newest schema wrote, and makes the rows of their differences.

    Args:
        wire: frames the rows.
        thresholds: by which agents are judged; None for the usual ones.
    """

    def __init__(self, wire: WireFormat, thresholds: KpiThresholds | None = None) -> None:
        self.wire = wire
        self.thresholds = thresholds

    def read(self, value: bytes, start: int, now: int) -> SnapshotKpis:
        """Return the snapshot whose datum extends from `start` to the value's end; `now` in microseconds.

        Raises one of `binary.UNUSUAL` if it is not encoded as writers write it, or not certainly valid.
        """
        found = self.recall(value, start)
        assert found.measured is not None
        if not surely_valid(found.measured.snapshot, now):
            raise Unusual
        return found

    def recall(self, value: bytes, start: int) -> SnapshotKpis:
        """As `read`, of one that was found valid before."""
        event = newest_codec(KpiSnapshot.record).read(value, start)
        assert isinstance(event, KpiSnapshot)
        found = SnapshotKpis(event, value)
        found.measured = measured(event)
        return found

    def row(self, now: SnapshotKpis, before: SnapshotKpis | None) -> bytes:
        """Return the row of a snapshot's difference from the agent's previous one (None for its first).

        Raises one of `binary.UNUSUAL` where one of them was not read here.
        """
        previous = None if before is None else before.measured
        if now.measured is None or (before is not None and previous is None):
            raise Unusual
        return self.wire.encode(kpi_delta(now.measured, previous, self.thresholds))


class ScopeRows:
    """Makes the rows of one scope's success rates.

    Args:
        prefix: their framing.
        named: a SHA-1 object fed with everything before window and end in the names of the rows' ids.
        ids: the fields agent_id and node_id.
        scope: the fields scope and scope_value.
    """

    def __init__(self, prefix: bytes, named: hashlib._Hash, ids: bytes, scope: bytes) -> None:
        self.prefix = prefix
        self.named = named
        self.ids = ids
        self.scope = scope

    def row(self, seconds: int, end: int, figures: bytes) -> bytes:
        """Return the row of the window of that many seconds that ends at `end`, microseconds.

        `figures` are the encoded fields from attempts on.
        """
        hashed = self.named.copy()
        hashed.update(b"%d\x1f%d" % (seconds, end))
        row_id = str(UUID(bytes=hashed.digest()[:16], version=5))
        return b"".join(
            (
                *(self.prefix, write_text(row_id), self.ids, write_longs((end,))),
                *(self.scope, write_longs((seconds, end - seconds * SECOND, end)), figures),
            )
        )
