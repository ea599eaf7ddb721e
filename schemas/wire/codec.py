"""Events to and from Avro datums, by a codec of our own for each schema (`binary`).

fastavro needs a dict and a file object for each, which would be most of a node's or a stream worker's work.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from evometrics.schemas.events import EVENT_CLASSES, Event, field_names
from evometrics.schemas.wire.binary import KINDS, UNUSUAL, RecordCodec
from evometrics.schemas.wire.catalog import WriterSchema, newest

T = TypeVar("T")

#: Kinds of fields that may also be nullable.
NULLABLE = frozenset({"string", "long", "double", "bytes"})


def kind_of(avro: Any) -> tuple[str, bool]:
    """Return a field's kind (of `KINDS`) and whether it may be null. Raises `KeyError` for other types."""
    if isinstance(avro, list):
        if len(avro) != 2 or avro[0] != "null" or not isinstance(avro[1], str) or avro[1] not in NULLABLE:
            raise KeyError(str(avro))
        return avro[1], True
    if isinstance(avro, dict):
        held = avro.get("items", avro.get("values"))
        avro = f"{avro['type']} of {held}"
    avro = "long" if avro == "int" else avro
    if avro not in KINDS:
        raise KeyError(avro)
    return str(avro), False


def fields_of(schema: WriterSchema) -> list[tuple[str, str, bool]]:
    """Return each field's name, kind, and whether it may be null."""
    return [(field["name"], *kind_of(field["type"])) for field in schema.parsed["fields"]]


def codec_into(schema: WriterSchema, cls: type[T]) -> RecordCodec[T] | None:
    """Return the codec for data written with a schema of any version, None where only fastavro can read it.

    `cls` may be the event class, or a dataclass with any subset of the newest version's fields. Fields that
    it does not have are skipped; fields that the writer did not have take the newest schema's defaults, as
    Avro specifies. The two schemas must be compatible (`compatibility`).
    """
    try:
        fields = fields_of(schema)
    except KeyError:  # a registry's schema may have kinds that are not among ours
        return None
    defaults = {f["name"]: f["default"] for f in newest(schema.record).parsed["fields"] if "default" in f}
    written = {name for name, _, _ in fields}
    known = field_names(cls)
    return RecordCodec(
        cls,
        [(name if name in known else None, kind, nullable) for name, kind, nullable in fields],
        {name: defaults[name] for name in known if name not in written},
    )


@cache
def codec_of(schema: WriterSchema) -> RecordCodec[Event] | None:
    """Return the codec of a schema's events (`codec_into`); None also where its record is not one of ours."""
    cls = EVENT_CLASSES.get(schema.record)
    return codec_into(schema, cls) if cls is not None else None


def read_exact(reader: RecordCodec[T] | None, value: bytes, start: int) -> T | None:
    """Return the object of the datum in `value` from `start` on; None where the codec can't read it."""
    try:
        return reader.read(value, start) if reader is not None else None
    except UNUSUAL:
        return None


@cache
def newest_codec(record: str) -> RecordCodec[Event]:
    """Return the codec of a record's newest version."""
    codec = codec_of(newest(record))
    assert codec is not None, f"{record} has a field of a kind that `binary` does not support"
    return codec
