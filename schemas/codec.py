"""Events from and to Avro datums, by the compiled codec of each record (`binary`).

fastavro goes by way of a dict and a file object; most of what a node or a stream worker does would be that.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from evometrics.schemas.binary import KINDS, RecordCodec
from evometrics.schemas.catalog import WriterSchema, newest
from evometrics.schemas.events import EVENT_CLASSES

#: Kinds that a field may have that may also be null.
NULLABLE = frozenset({"string", "long", "double", "bytes"})


def kind_of(avro: Any) -> tuple[str, bool]:
    """Return a field's kind, of `KINDS`, and whether it may be null. Raises `KeyError` for others."""
    if isinstance(avro, list):
        null, kind = avro
        if null != "null" or kind not in NULLABLE:
            raise KeyError(avro)
        return kind, True
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


@cache
def codec_of(record: str) -> RecordCodec:
    """Return the codec of a record's newest version."""
    return RecordCodec(EVENT_CLASSES[record], fields_of(newest(record)))
