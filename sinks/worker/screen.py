"""Examines the messages of a batch that ClickHouse refused, one by one; never used otherwise.

Whether a message is bad is decided by `schemas.wire.reading`, as in the stream, and not by ClickHouse.
ClickHouse refuses bytes that other readers accept (a boolean that is neither 0 nor 1, a number in more bytes
than it needs): such an event is re-encoded, as everyone else has read it.
"""

from __future__ import annotations

from collections.abc import Sequence

from evometrics.schemas.wire.catalog import WriterSchema
from evometrics.schemas.wire.datum import read_record, write_record
from evometrics.schemas.wire.framing import UnreadableMessage
from evometrics.schemas.wire.reading import read_datum
from evometrics.sinks.worker.batch import InsertRow, Rejected


def screen(schema: WriterSchema, rows: Sequence[InsertRow]) -> tuple[list[InsertRow], list[Rejected]]:
    """Return the rows of good messages, and the bad messages with the reason."""
    good: list[InsertRow] = []
    bad: list[Rejected] = []
    for row in rows:
        try:
            read_datum(schema, row.position, row.message)
            good.append(row)
        except UnreadableMessage as error:
            bad.append(Rejected(row.message, str(error)))
    return good, bad


def written_anew(schema: WriterSchema, row: InsertRow) -> InsertRow:
    """Return a good message's row with its datum re-encoded as the Avro specification has it."""
    return row._replace(value=write_record(schema, read_record(schema, row.value, row.position)), position=0)
