"""Events from and to Avro datums, by the compiled codec of each schema (`binary`).

fastavro goes by way of a dict and a file object; most of what a node or a stream worker does would be that.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from evometrics.schemas.events import EVENT_CLASSES, Event, field_names
from evometrics.schemas.wire.binary import KINDS, UNUSUAL, RecordCodec
from evometrics.schemas.wire.catalog import WriterSchema, newest

T = TypeVar("T")

#: Kinds that a field may have that may also be null.
NULLABLE = frozenset({"string", "long", "double", "bytes"})


def kind_of(avro: Any) -> tuple[str, bool]:
    """Return a field's kind, of `KINDS`, and whether it may be null. Raises `KeyError` for others."""
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
    """Return the codec of what a schema of any version wrote, None where only fastavro can read it.

    It reads into a dataclass of fields of the record's newest version, an event class or one of some of
    them: what the class does not know is passed over, what the writer did not know is the newest schema's
    default, as Avro has it. The two schemas must be compatible (`compatibility`).
    """
    try:
        fields = fields_of(schema)
    except KeyError:  # a schema of a registry's may have kinds that are none of ours
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
    """Return the codec of a schema's events (`codec_into`); None as well where its record is none of ours."""
    cls = EVENT_CLASSES.get(schema.record)
    return codec_into(schema, cls) if cls is not None else None


def read_exact(reader: RecordCodec[T] | None, value: bytes, start: int) -> T | None:
    """Return the object of the datum in `value` from `start` on; None where no codec reads it."""
    try:
        return reader.read(value, start) if reader is not None else None
    except UNUSUAL:
        return None


@cache
def newest_codec(record: str) -> RecordCodec[Event]:
    """Return the codec of a record's newest version."""
    codec = codec_of(newest(record))
    assert codec is not None, f"{record} has a field of a kind that `binary` does not know"
    return codec
