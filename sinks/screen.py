"""Finds the damaged messages of a batch that ClickHouse refused, by decoding each; never used otherwise.

It refuses only what ClickHouse refuses too: whether a message is stored must not depend on which others
came with it. What it lets through and ClickHouse refuses all the same is found by bisection.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Sequence
from typing import Any

import fastavro

from evometrics.schemas.catalog import WriterSchema
from evometrics.sinks.batch import Rejected, Row


def screen(schema: WriterSchema, rows: Sequence[Row]) -> tuple[list[Row], list[Rejected]]:
    """Return the rows whose datums `schema` can read, and the others with the reason."""
    ids = uuid_fields(schema)
    whole: list[Row] = []
    damaged: list[Rejected] = []
    for row in rows:
        reason = fault(schema, ids, row)
        if reason is None:
            whole.append(row)
        else:
            damaged.append(Rejected(row.message, reason))
    return whole, damaged


def fault(schema: WriterSchema, ids: Sequence[str], row: Row) -> str | None:
    """Return what is wrong with a row's datum, None where it is whole."""
    body = io.BytesIO(row.message.value or b"")
    body.seek(row.position)
    try:
        record: Any = fastavro.schemaless_reader(body, schema.parsed, None, handle_unicode_errors="replace")
    except Exception as error:  # whatever the bytes led to: EOFError, ValueError, IndexError, ...
        return f"not a {schema.record} v{schema.version}: {error!r}"
    for name in ids:
        try:
            if record[name] is not None:
                uuid.UUID(record[name])
        except ValueError:
            return f"{name} {record[name]!r} is no UUID"
    return None


def uuid_fields(schema: WriterSchema) -> list[str]:
    """Return the names of the fields that hold a UUID or null."""

    def holds_uuid(kind: Any) -> bool:
        if isinstance(kind, list):
            return any(holds_uuid(item) for item in kind)
        return isinstance(kind, dict) and kind.get("logicalType") == "uuid"

    return [str(f["name"]) for f in schema.source["fields"] if holds_uuid(f["type"])]
