"""The ClickHouse column of an Avro field, for a table that has none for it yet.

The types are those of the tables that ship with the package, without their codecs, so that a migration finds
what it would have created. A field whose values, or default, a column could not hold is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from evometrics.schemas.wire.compatibility import IncompatibleSchema

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
PRIMITIVES = {
    "boolean": "Bool",
    "int": "Int32",
    "long": "Int64",
    "float": "Float32",
    "double": "Float64",
    "string": "String",
    "bytes": "String",
}
#: By type and logical type; other logical types are treated as their type, except decimals.
LOGICAL = {
    ("string", "uuid"): "UUID",
    ("int", "date"): "Date32",
    ("long", "timestamp-millis"): "DateTime64(3, 'UTC')",
    ("long", "timestamp-micros"): "DateTime64(6, 'UTC')",
}
#: Conversion of Avro's number to a value of such a type.
FROM_NUMBER = {
    "Date32": "toDate32({})",
    "DateTime64(3, 'UTC')": "fromUnixTimestamp64Milli({}, 'UTC')",
    "DateTime64(6, 'UTC')": "fromUnixTimestamp64Micro({}, 'UTC')",
}


class Column(NamedTuple):
    """A column to add.

    Attributes:
        default: the SQL of its default; empty if that is the type's own (null, 0, nothing).
    """

    name: str
    type: str
    default: str
    comment: str

    @property
    def definition(self) -> str:
        """Return the column as `ALTER TABLE ... ADD COLUMN` takes it."""
        default = f" DEFAULT {self.default}" if self.default else ""
        return f"`{self.name}` {self.type}{default} COMMENT {quoted(self.comment)}"


def column_of(record: str, field: Mapping[str, Any]) -> Column:
    """Return a field's column. Raises `IncompatibleSchema`, naming the field, if it can't have one."""
    name = str(field["name"])
    if not NAME.fullmatch(name):
        raise IncompatibleSchema(
            f"{record}.{name}: not a valid column name; start it with a letter (names with an underscore in "
            "front are the sink's)"
        )
    try:
        kind = column_type(field["type"])
        default = literal(kind, field.get("default"))
    except ValueError as error:
        raise IncompatibleSchema(f"{record}.{name}: {error}") from None
    return Column(name, kind, default, str(field.get("doc") or "From a newer version of the schema."))


def column_type(avro: Any, nested: bool = False) -> str:
    """Return the column type of an Avro type. Raises `ValueError` with the reason if there is none."""
    if isinstance(avro, list):
        others = [branch for branch in avro if branch != "null"]
        if len(others) != 1 or len(avro) != 2:
            raise ValueError(f"type {avro} has no column type; use one type, or null and one type")
        kind = column_type(others[0], nested)
        if kind.startswith(("Array(", "Map(")):
            raise ValueError("an array or map can't be null in ClickHouse; make its default [] or {}")
        return f"Nullable({kind})"
    if isinstance(avro, str) and avro in PRIMITIVES:
        return PRIMITIVES[avro]
    if isinstance(avro, dict):
        kind, logical = avro["type"], avro.get("logicalType")
        if kind == "array":
            return f"Array({column_type(avro['items'], True)})"
        if kind == "map":
            return f"Map(String, {column_type(avro['values'], True)})"
        if kind == "enum":
            return "String"
        if logical != "decimal" and kind in PRIMITIVES:
            return LOGICAL.get((kind, str(logical)), PRIMITIVES[kind])
    raise ValueError(f"type {avro} has no column type; use a primitive type, an array or a map")


def literal(kind: str, default: Any) -> str:
    """Return the SQL of a field's default, empty if it is the column type's own."""
    nullable = kind.startswith("Nullable(")
    if default is None or (not default and not nullable):
        return ""
    if nullable:
        kind = kind.removeprefix("Nullable(").removesuffix(")")
    return FROM_NUMBER.get(kind, "{}").format(value(default))


def value(default: Any) -> str:
    """Return a JSON value in SQL."""
    match default:
        case bool():
            return "true" if default else "false"
        case str():
            return quoted(default)
        case list():
            return f"[{', '.join(map(value, default))}]"
        case dict():
            return f"map({', '.join(value(item) for pair in default.items() for item in pair)})"
        case int() | float():
            return repr(default)
    raise ValueError(f"the default {default!r} can't be a column's default; leave it empty")


def quoted(text: str) -> str:
    """Return a text as an SQL literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
