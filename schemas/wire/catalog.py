"""The Avro schemas that ship with the package: every released version of every record."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any

import fastavro
import fastavro.schema

from evometrics.schemas.wire.compatibility import IncompatibleSchema, check_compatible


@dataclass(frozen=True, slots=True, eq=False)
class WriterSchema:
    """One version of one record: the schema that some message was written with.

    Attributes:
        record: the record's folder in `avro/`, e.g. `evolution_completed`.
        version: N of `vN.avsc`; 0 for a schema that a registry has and this package does not.
        fingerprint: CRC-64-AVRO of the canonical form, 8 bytes, little-endian.
        source: the schema's JSON, with docs and logical types.
        parsed: for fastavro, without logical types: times stay integer microseconds, ids stay text.
        readable: `parsed` for reading; a branch number that a nullable field does not have is read as null.
    """

    record: str
    version: int
    fingerprint: bytes
    source: dict[str, Any] = field(repr=False)
    parsed: Any = field(repr=False)
    readable: Any = field(repr=False)


def writer_schema(record: str, version: int, source: dict[str, Any]) -> WriterSchema:
    """Build a `WriterSchema` from the schema's JSON."""
    canonical = fastavro.schema.to_parsing_canonical_form(source)
    digest = bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
    parsed: Any = fastavro.parse_schema(plain(source))
    fields = [{**one, "type": readable(one["type"])} for one in parsed["fields"]]
    return WriterSchema(record, version, digest, source, parsed, {**parsed, "fields": fields})


class Branches(list[Any]):
    """The branches of a nullable field for fastavro to read with: any missing branch is null.

    fastavro looks a branch up in a list by its number from the message, and Python takes a negative index
    from the end. `__len__` is huge so that no branch number can be interpreted as negative.
    """

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, number: Any) -> Any:
        return list.__getitem__(self, number) if 0 <= number < list.__len__(self) else "null"


def readable(kind: Any) -> Any:
    """Return a field's type for reading."""
    return Branches(kind) if isinstance(kind, list) and "null" in kind else kind


def plain(schema: Any) -> Any:
    """Return the schema without logical types."""
    if isinstance(schema, dict):
        if "logicalType" in schema:
            return schema["type"]
        return {key: plain(value) for key, value in schema.items()}
    return [plain(item) for item in schema] if isinstance(schema, list) else schema


@cache
def released() -> dict[str, tuple[WriterSchema, ...]]:
    """Return every record's versions, oldest first, read once from the package's `.avsc` files.

    Raises `IncompatibleSchema`, naming record, field and reason, where one breaks readers or writers of the
    previous one: no part starts with such a catalog.
    """
    found: dict[str, tuple[WriterSchema, ...]] = {}
    for folder in sorted((resources.files("evometrics.schemas") / "avro").iterdir(), key=lambda f: f.name):
        if not folder.is_dir():
            continue
        files = sorted(folder.iterdir(), key=lambda f: int(f.name.removeprefix("v").removesuffix(".avsc")))
        found[folder.name] = tuple(
            writer_schema(folder.name, number, json.loads(file.read_text(encoding="utf-8")))
            for number, file in enumerate(files, start=1)
        )
        for old, new in pairwise(found[folder.name]):
            try:
                check_compatible(old.source, new.source)
            except IncompatibleSchema as error:
                raise IncompatibleSchema(f"schemas/avro/{new.record}/v{new.version}.avsc: {error}") from None
    return found


def newest(record: str) -> WriterSchema:
    """Return the version that producers write and readers read with."""
    return released()[record][-1]
