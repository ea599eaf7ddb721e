"""Full compatibility of two versions of a record: old readers read new data and new readers old data.

Rules of the Avro specification ("Schema Resolution"), for the shapes our records use: primitives,
logical types on them, unions, maps, arrays. Stricter than Avro where Avro would lose something:
a numeric promotion is refused, because the old reader could not read the new data.
"""

from __future__ import annotations

from typing import Any


class IncompatibleSchema(ValueError):
    """A new version that would break readers or writers of the old; names record, field and reason."""


def check_compatible(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise `IncompatibleSchema` unless `old` and `new` (schema JSON) can read each other's data."""
    record = old["name"]
    if new["name"] != record or new.get("namespace") != old.get("namespace"):
        raise IncompatibleSchema(f"{record}: renamed to {new.get('namespace')}.{new['name']}")
    before = {f["name"]: f for f in old["fields"]}
    after = {f["name"]: f for f in new["fields"]}
    for name in before.keys() - after.keys():
        if "default" not in before[name]:
            raise IncompatibleSchema(
                f"{record}.{name}: removed, but old readers have no default for it; keep the field"
            )
    for name in after.keys() - before.keys():
        if "default" not in after[name]:
            raise IncompatibleSchema(f"{record}.{name}: added without a default; give it one")
    for name in before.keys() & after.keys():
        if shape(before[name]["type"]) != shape(after[name]["type"]):
            raise IncompatibleSchema(
                f"{record}.{name}: type changed from {before[name]['type']} to {after[name]['type']}; "
                "add a new field instead"
            )


def shape(schema: Any) -> Any:
    """Return a type in one spelling, so that two that read and write alike are equal."""
    if isinstance(schema, list):
        return ("union", frozenset(shape(branch) for branch in schema))
    if isinstance(schema, dict):
        inner = schema.get("items", schema.get("values"))
        return (schema["type"], schema.get("logicalType"), None if inner is None else shape(inner))
    return (schema, None, None)
