"""The messages of evolution metrics: what `calculations.evolution_metrics` says, put together from pieces.

Most of such a row is what the completion says as well, and in the same encoding: those bytes are taken as
they came. Only the figures are encoded. The test holds each row against the one of `evolution_metrics`.
"""

from __future__ import annotations

import struct

from evometrics.schemas.binary import write_double_map, write_long
from evometrics.schemas.catalog import newest
from evometrics.schemas.events import EvolutionCompleted, EvolutionMetrics
from evometrics.schemas.ids import hashed_id
from evometrics.schemas.topics import EVOLUTION_METRICS
from evometrics.schemas.wire import WireFormat
from evometrics.streams.calculations import EvolutionFigures, evolution_figures
from evometrics.streams.outputs import Message

#: The row's fields, each piece with the fields of the completion that it is taken from, a dot for figures,
#: and "+" where it may be null in the row alone.
PIECES = (
    ("event_id", "."),
    ("agent_id node_id occurred_at", "agent_id node_id occurred_at"),
    ("source_event_id", "event_id"),
    *(
        (fields, fields)
        for fields in (
            "evolution_id started_at evolution_type generation strategy_used risk_level target_gain "
            "trigger_reason",
            "status",
            "success",
        )
    ),
    ("duration_minutes performance_score baseline_performance improvement_delta", "."),
    ("relative_improvement quality_score efficiency kpi_deltas", "."),
    ("memory_used_mb", "+memory_used_mb"),
    ("cpu_percent_avg", "+cpu_percent_avg"),
    *(
        (fields, fields)
        for fields in (
            "gpu_memory_mb",
            "network_bytes_transferred",
            "error_count warning_count",
            "rollback_performed convergence_iterations fitness_trajectory",
            "metadata",
        )
    ),
)
#: The figures of a completion of which all are known: a 2 before those that may be null.
DOUBLE = struct.Struct("<d")
FIGURES = struct.Struct("<dBdBdBdBdBdd")
ID_LENGTH = write_long(36)


def places(record: str, fields: str) -> tuple[int, int]:
    """Return the first of a record's fields that follow each other, and the one after the last."""
    names = [field["name"] for field in newest(record).parsed["fields"]]
    wanted = fields.split()
    first = names.index(wanted[0])
    assert names[first : first + len(wanted)] == wanted, f"{record} has not {fields} in this order"
    return first, first + len(wanted)


class MetricsWriter:
    """Makes the messages of evolution metrics."""

    def __init__(self, wire: WireFormat) -> None:
        names = [field["name"] for field in newest(EvolutionMetrics.record).parsed["fields"]]
        assert " ".join(fields for fields, _ in PIECES).split() == names, "the row has other fields"
        self.prefix = wire.prefixes[EvolutionMetrics.record] + ID_LENGTH
        taken = [place for _, place in PIECES if place != "."]
        self.places = [places(EvolutionCompleted.record, fields.lstrip("+")) for fields in taken]

    def message(self, done: EvolutionCompleted, value: bytes, bounds: tuple[int, ...]) -> Message:
        """Return a completion's row, from the event, its message value and where its fields are in it."""
        about, source, plan, status, success, memory, cpu, gpu, network, errors, course, metadata = [
            value[bounds[first] : bounds[end]] for first, end in self.places
        ]
        figures = evolution_figures(done)
        row = (
            self.prefix,
            hashed_id("evolution_metrics\x1f" + done.event_id).encode(),
            about,
            source,
            plan,
            status,
            success,
            write_figures(figures),
            write_double_map(figures.kpi_deltas),
            b"\2",
            memory,
            b"\2",
            cpu,
            gpu,
            network,
            errors,
            course,
            metadata,
        )
        return Message(EVOLUTION_METRICS.name, done.key.encode(), b"".join(row))


def write_figures(figures: EvolutionFigures) -> bytes:
    """Return the figures before the map."""
    minutes, after, before, delta, relative, quality, efficiency, _ = figures
    if quality is not None and relative is not None:  # and so are the others
        return FIGURES.pack(minutes, 2, after, 2, before, 2, delta, 2, relative, 2, quality, efficiency)
    known = (after, before, delta, relative, quality)
    nullable = [b"\0" if n is None else b"\2" + DOUBLE.pack(n) for n in known]
    return b"".join((DOUBLE.pack(minutes), *nullable, DOUBLE.pack(efficiency)))
