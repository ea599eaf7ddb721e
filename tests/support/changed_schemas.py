"""Schemas of versions that are not released: what a newer producer might come with."""

from __future__ import annotations

from typing import Any

from evometrics.schemas.wire.catalog import newest


def with_fields(record: str, *fields: dict[str, Any]) -> dict[str, Any]:
    """Return a record's newest schema with these fields in the place of those of the same names, or more."""
    source = newest(record).source
    names = {field["name"] for field in fields}
    kept = [field for field in source["fields"] if field["name"] not in names]
    return {**source, "fields": [*kept, *fields]}


def optional(name: str, kind: Any, doc: str = "Of a newer version.") -> dict[str, Any]:
    """Return a new optional field."""
    return {"name": name, "type": ["null", kind], "default": None, "doc": doc}


def without(record: str, name: str) -> dict[str, Any]:
    """Return a record's newest schema without a field."""
    source = newest(record).source
    return {**source, "fields": [field for field in source["fields"] if field["name"] != name]}
