"""ClickHouse's types as Arrow's, and columns as arrays.

Not ClickHouse's own format Arrow: what it makes of a UUID, a DateTime, an Enum or text that is not UTF-8
differs from version to version, and some of it no reader takes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from clickhouse_connect.datatypes.base import ClickHouseType

from evometrics.schemas.frames import library

#: Arrow's constructors by ClickHouse's names of types without arguments.
PLAIN = {
    **{f"{sign}Int{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "Float32": "float32",
    "Float64": "float64",
    "BFloat16": "float32",
    "Bool": "bool_",
    "String": "string",
    "Enum8": "string",
    "Enum16": "string",
    "Date": "date32",
    "Date32": "date32",
    "IPv4": "string",
    "IPv6": "string",
    "Nothing": "null",
}
DIGITS_OF_128 = 38


def arrow_type(kind: ClickHouseType, zone: str, *, within: bool = True) -> Any:
    """Return the Arrow type of a ClickHouse type; `zone` is that of times whose type names none.

    What Arrow has no type for (256 bits, JSON, Variant, geometry) is text, and so is a UUID `within` a list
    or map, of which pyarrow makes no arrays. Times finer than a microsecond are cut there.
    """
    pa = library("pyarrow", "an Arrow table")
    name, of = type(kind).__name__, any_of(kind)
    if name == "UUID":
        return pa.string() if within else pa.uuid()
    if name in PLAIN:
        return getattr(pa, PLAIN[name])()
    if name == "DateTime":
        return pa.timestamp("s", zone_of(kind, zone))
    if name == "DateTime64":
        return pa.timestamp("s" if of.scale == 0 else "ms" if of.scale <= 3 else "us", zone_of(kind, zone))
    if name == "FixedString":
        return pa.binary(of.byte_size)
    if name.startswith("Decimal"):
        make = pa.decimal128 if of.prec <= DIGITS_OF_128 else pa.decimal256
        return make(of.prec, of.scale)
    if name in ("Time", "Time64"):
        return pa.duration("s" if name == "Time" else "us")
    if name.startswith("Interval"):
        return pa.int64()
    if name == "Array":
        return pa.list_(arrow_field("item", of.element_type, zone))
    if name == "Map":
        return pa.map_(arrow_type(of.key_type, zone), arrow_field("value", of.value_type, zone))
    if name in ("Tuple", "Nested"):
        names = of.element_names or [str(place + 1) for place in range(len(of.element_types))]
        fields = [arrow_field(n, t, zone) for n, t in zip(names, of.element_types, strict=True)]
        return pa.list_(pa.struct(fields)) if name == "Nested" else pa.struct(fields)
    return pa.string()


def any_of(kind: ClickHouseType) -> Any:
    """Return a type whose attributes are those of its own class."""
    return kind


def zone_of(kind: ClickHouseType, zone: str) -> str:
    """Return the zone that a type of times names."""
    own = any_of(kind).tzinfo
    return zone if own is None else getattr(own, "key", None) or "UTC"


def arrow_field(name: str, kind: ClickHouseType, zone: str, *, within: bool = True) -> Any:
    """Return the Arrow field of a column, or of what is `within` one."""
    pa = library("pyarrow", "an Arrow table")
    found = arrow_type(kind, zone, within=within)
    open_type = type(kind).__name__ in ("Nothing", "Variant", "Dynamic", "JSON")
    return pa.field(name, found, nullable=bool(kind.nullable) or open_type)


def arrow_schema(names: Sequence[str], types: Sequence[ClickHouseType], zone: str) -> Any:
    """Return the Arrow schema of columns."""
    pa = library("pyarrow", "an Arrow table")
    return pa.schema([arrow_field(n, t, zone, within=False) for n, t in zip(names, types, strict=True)])


def arrow_array(values: Sequence[Any], kind: Any) -> Any:
    """Return a column's values as an array of an Arrow type."""
    pa = library("pyarrow", "an Arrow table")
    try:
        return pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([fitted(pa, value, kind) for value in values], kind)


def fitted(pa: Any, value: Any, kind: Any) -> Any:
    """Return a value as pyarrow takes it for a type: whatever is to be text as text."""
    if value is None:
        return None
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else as_text(value)
    if pa.types.is_list(kind):
        return [fitted(pa, each, kind.value_type) for each in value]
    if pa.types.is_map(kind):
        pairs = value.items() if isinstance(value, dict) else value
        return [(fitted(pa, k, kind.key_type), fitted(pa, v, kind.item_type)) for k, v in pairs]
    if pa.types.is_struct(kind):
        parts = [value[f.name] for f in kind] if isinstance(value, dict) else value
        return {f.name: fitted(pa, part, f.type) for f, part in zip(kind, parts, strict=True)}
    return value


def as_text(value: Any) -> str:
    """Return a value of a type that Arrow lacks as text: JSON for whatever has parts."""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
