"""Full compatibility of two versions of a record: old readers read new data and new readers old data.

Rules of the Avro specification ("Schema Resolution"), for the shapes our records use: primitives,
logical types on them, unions, maps, arrays. Stricter than Avro where Avro would lose something:
a numeric promotion is refused, because the old reader could not read the new data.
"""

from __future__ import annotations

from typing import Any

from fastavro.validation import validate

from evometrics.schemas.errors import EvometricsError


class IncompatibleSchema(EvometricsError, ValueError):
    """A version that would break readers or writers of another; names record, field, reason, way out."""


def check_compatible(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise `IncompatibleSchema` unless `old` and `new` (schema JSON) can read each other's data."""
    record = old["name"]
    if new["name"] != record or new.get("namespace") != old.get("namespace"):
        raise IncompatibleSchema(f"{record}: renamed to {new.get('namespace')}.{new['name']}; keep the name")
    before = {f["name"]: f for f in old["fields"]}
    after = {f["name"]: f for f in new["fields"]}
    for name in before:
        if name not in after and "default" not in before[name]:
            raise IncompatibleSchema(
                f"{record}.{name}: removed, but old readers have no default for it; keep the field"
            )
    for name in after:
        if name not in before:
            check_added(f"{record}.{name}", after[name])
    for name in before:
        if name in after and shape(before[name]["type"]) != shape(after[name]["type"]):
            raise IncompatibleSchema(
                f"{record}.{name}: type changed from {before[name]['type']} to {after[name]['type']}; "
                "add a new field instead"
            )


def check_added(place: str, field: dict[str, Any]) -> None:
    """Raise `IncompatibleSchema` unless a new field has a default that new readers can use for old data."""
    if "default" not in field:
        raise IncompatibleSchema(f"{place}: added without a default; give it one")
    kind, default = field["type"], field["default"]
    first = kind[0] if isinstance(kind, list) else kind
    given = default.encode("latin-1") if first == "bytes" and isinstance(default, str) else default
    if not validate(given, first, raise_errors=False):
        raise IncompatibleSchema(
            f"{place}: the default {default!r} is not of type {first}; a default must be of the field's "
            "type, or of its union's first"
        )


def shape(schema: Any) -> Any:
    """Return a type in canonical form, so that types that read and write alike are equal."""
    if isinstance(schema, list):
        return ("union", frozenset(shape(branch) for branch in schema))
    if isinstance(schema, dict):
        inner = schema.get("items", schema.get("values"))
        named = (tuple(schema.get("symbols", ())), schema.get("size"))
        fields = tuple((f["name"], shape(f["type"])) for f in schema.get("fields", ()))
        within = None if inner is None else shape(inner)
        return (shape(schema["type"])[0], schema.get("logicalType"), within, named, fields)
    return (schema, None, None, ((), None), ())
