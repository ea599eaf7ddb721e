"""Signatures of the compiled module; its purpose is explained in `rows.pyx`."""

from collections.abc import Iterable, Sequence
from typing import Any

from evometrics.schemas.events import EvolutionCompleted

#: Fields of a completion, in the order of its schema.
COMPLETION: list[str]
#: Fields of a row of metrics, in the order of its schema.
ROW: list[str]
#: Fields of a start, in the order of its schema.
START: list[str]

class Completion:
    """The fields by which the stream counts a completion, and the row that it leads to.

    Args:
        event: the completion.
        lacks: the fields that it lacks, as bits of `Lack`.
        row: message value of its `EvolutionMetrics`, from the completion alone.
        snapshots: message values of the snapshots made from its KPIs (`schemas.evolutions.snapshots`).
    """

    event_id: str
    agent_id: str
    node_id: str
    evolution_id: str
    evolution_type: str
    strategy_used: str
    occurred_at: int
    success: bool
    lacks: int
    row: bytes
    snapshots: list[bytes]

    def __init__(self, event: EvolutionCompleted, lacks: int, row: bytes, snapshots: list[bytes]) -> None: ...

class SnapshotWriter:
    """Writes the snapshots made from completions' KPIs.

    Args:
        fields: names of a snapshot's fields.
        kpis: the KPIs that are looked for, as in `CompletionReader`.
        prefix: the snapshot's framing.
        named: a SHA-1 object fed with everything before the event's id in the name of a snapshot's id.

    Raises ValueError if the record is not the one that was compiled in.
    """

    def __init__(self, fields: Sequence[str], kpis: Sequence[str], prefix: bytes, named: Any) -> None: ...

class CompletionReader:
    """Reads completions that the newest schema wrote.

    Args:
        fields: the completion's, as `codec.fields_of` gives them.
        row: names of the row's fields.
        kpis: those that are looked for: `kpis.FORMULA_KPIS`, then performance, overall_performance,
            evaluation_count, confidence_interval, and all other standard ones.
        statuses: the allowed values of `status`.
        name_bytes: limit of all names together, bytes.
        ahead: how far an event's time may be ahead of its message's, microseconds.
        prefix: the row's framing.
        named: a SHA-1 object fed with everything before the event's id in the name of the row's id.
        snapshots: writes the snapshots that `snapshot_phases` names.

    Raises ValueError if the records are not those that were compiled in.
    """

    def __init__(
        self,
        fields: Sequence[tuple[str, str, bool]],
        row: Sequence[str],
        kpis: Sequence[str],
        statuses: Iterable[str],
        name_bytes: int,
        ahead: int,
        prefix: bytes,
        named: Any,
        snapshots: SnapshotWriter,
    ) -> None: ...
    def read(self, value: bytes, start: int, now: int) -> Completion:
        """Return the completion whose datum extends from `start` to the value's end; `now` in microseconds.

        Raises one of `binary.UNUSUAL` if it is not encoded as writers write it, or not certainly valid.
        """

class StartReader:
    """Inspects starts that the newest schema wrote.

    Args:
        fields: the start's, as `codec.fields_of` gives them.

    Raises ValueError if they are not those that were compiled in.
    """

    def __init__(self, fields: Sequence[tuple[str, str, bool]]) -> None: ...
    def lends(self, value: bytes, start: int) -> int:
        """Return the fields that a start whose datum begins at `start` can lend, as bits of `Lack`.

        Raises one of `binary.UNUSUAL` if it is not encoded as writers write it.
        """

class ScopeRows:
    """Makes the rows of one scope's success rates.

    Args:
        prefix: their framing.
        named: a SHA-1 object fed with everything before window and end in the names of the rows' ids.
        ids: the fields agent_id and node_id.
        scope: the fields scope and scope_value.
    """

    def __init__(self, prefix: bytes, named: Any, ids: bytes, scope: bytes) -> None: ...
    def row(self, seconds: int, end: int, figures: bytes) -> bytes:
        """Return the row of the window of that many seconds that ends at `end`, microseconds.

        `figures` are the encoded fields from attempts on.
        """
