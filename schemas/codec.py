"""Events from and to Avro datums, by functions made from the schema: some three times as fast as fastavro.

fastavro reads byte by byte through a file object, and by way of a dict; most of what a stream worker does
would be that. A function made here reads one record's fields one after the other, straight into its event,
or writes them. It gives what fastavro gives, or raises one of `primitives.UNUSUAL` where it meets anything
out of the ordinary; the caller asks fastavro then. tests/schemas/test_codec.py holds both against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from evometrics.schemas import primitives
from evometrics.schemas.catalog import WriterSchema, newest
from evometrics.schemas.events import EVENT_CLASSES, Event, field_names

Read = Callable[[bytes, int], Event]
ReadBounded = Callable[[bytes, int], tuple[Event, tuple[int, ...]]]
Write = Callable[[bytes, Event], bytes]

#: How a kind is read: lines that move position p over the value and leave it in x.
READ_LINES: dict[str, tuple[str, ...]] = {
    "string": (
        "n = b[p]; p += 1",
        "if n & 1 or n > 127: n, p = read_length(b, p - 1); n <<= 1",
        "q = p + (n >> 1); x = b[p:q].decode(); p = q",
    ),
    "bytes": ("n, q = read_length(b, p); p = q + n; x = b[q:p]",),
    "long": (
        "n = b[p]; p += 1",
        "if n > 127: n, p = read_long(b, p - 1)",
        "x = (n >> 1) ^ -(n & 1)",
    ),
    "double": ("(x,) = unpack_double(b, p); p += 8",),
    "boolean": ("n = b[p]; p += 1", "if n > 1: raise Unusual", "x = n == 1"),
    "array of string": ("x, p = read_texts(b, p)",),
    "array of double": ("x, p = read_doubles(b, p)",),
    "map of string": ("x, p = read_text_map(b, p)",),
    "map of double": ("x, p = maps_{number}.read(b, p)",),
}
#: How a kind is written: lines that make the bytes x of value v, where v is just what the kind is read as.
WRITE_LINES: dict[str, tuple[str, ...]] = {
    "string": ("r = v.encode()", "x = ENDS[len(r) << 1] + r if len(r) < SHORT else write_bytes(r)"),
    "bytes": ("x = write_bytes(v)",),
    "long": ("x = ENDS[v << 1] if type(v) is int and 0 <= v < SHORT else write_long(v)",),
    "double": ("if type(v) is not float: raise Unusual", "x = pack_double(v)"),
    "boolean": ("if type(v) is not bool: raise Unusual", "x = b'\\1' if v else b'\\0'"),
    "array of string": ("x = write_texts(v)",),
    "array of double": ("x = write_doubles(v)",),
    "map of string": ("x = write_text_map(v)",),
    "map of double": ("x = write_double_map(v)",),
}
#: Kinds that a field may have that may also be null.
NULLABLE = frozenset({"string", "long", "double", "bytes"})


def kind_of(avro: Any) -> tuple[str, bool]:
    """Return a field's kind as above, and whether it may be null. Raises `KeyError` for others."""
    if isinstance(avro, list):
        if len(avro) != 2 or avro[0] != "null" or not isinstance(avro[1], str) or avro[1] not in NULLABLE:
            raise KeyError(str(avro))
        return avro[1], True
    if isinstance(avro, dict):
        held = avro.get("items", avro.get("values"))
        avro = f"{avro['type']} of {held}"
    avro = "long" if avro == "int" else avro
    if avro not in WRITE_LINES:
        raise KeyError(avro)
    return str(avro), False


def fields_of(schema: WriterSchema) -> list[tuple[str, str, bool]]:
    """Return each field's name, kind, and whether it may be null."""
    return [(field["name"], *kind_of(field["type"])) for field in schema.parsed["fields"]]


def made(lines: list[str], names: dict[str, Any]) -> Any:
    """Return the function `made` that the lines define."""
    known = {
        **{name: getattr(primitives, name) for name in dir(primitives) if name[0] != "_"},
        "unpack_double": primitives.DOUBLE.unpack_from,
        "pack_double": primitives.DOUBLE.pack,
        **names,
    }
    exec("\n".join(lines), known)
    return known["made"]


@cache
def reader_of(schema: WriterSchema) -> Read:
    """Return what reads data of any version into the newest: from a message's bytes and the datum's begin.

    What the event class does not know is passed over, what the writer did not know is the newest schema's
    default, as Avro has it. The two must be compatible (`compatibility`).
    """
    try:
        function: Read = made_reader(schema, "event", "")
    except KeyError:  # a schema of a registry's may have kinds that are none of ours
        return left_to_fastavro
    return function


def left_to_fastavro(b: bytes, start: int) -> Event:
    """Raise `Unusual`."""
    raise primitives.Unusual


def reader(record: str) -> Read:
    """Return what reads a record's newest version."""
    return reader_of(newest(record))


@cache
def bounded_reader(record: str) -> ReadBounded:
    """Return the same, which returns besides where each field begins and, last, where the last one ends."""
    function: ReadBounded = made_reader(newest(record), "event, (start, {})", "    p{number} = p")
    return function


def made_reader(schema: WriterSchema, result: str, noted: str) -> Any:
    """Return the function that reads what a schema wrote; `noted` is its line after each field."""
    lines = ["def made(b, start):", "    p = start", "    event = new(cls)"]
    maps: dict[str, Any] = {}
    fields = fields_of(schema)
    defaults = {f["name"]: f["default"] for f in newest(schema.record).parsed["fields"] if "default" in f}
    known = field_names(EVENT_CLASSES[schema.record])
    for number, (name, kind, nullable) in enumerate(fields):
        body = [line.format(number=number) for line in READ_LINES[kind]]
        if kind == "map of double":
            maps[f"maps_{number}"] = primitives.DoubleMaps()
        if nullable:
            lines += ["    n = b[p]; p += 1", "    if n == 0: x = None", "    elif n == 2:"]
            lines += [f"        {line}" for line in body]
            lines += ["    else: raise Unusual"]
        else:
            lines += [f"    {line}" for line in body]
        lines += [f"    event.{name} = x"] if name in known else []
        lines += [noted.format(number=number)]
    lines += [f"    event.{name} = {defaults[name]!r}" for name in missing(schema, known)]
    ends = ", ".join(f"p{number}" for number in range(len(fields)))
    lines += ["    if p != len(b): raise Unusual", f"    return {result.format(ends)}"]
    return made(lines, {"new": object.__new__, "cls": EVENT_CLASSES[schema.record], **maps})


def missing(schema: WriterSchema, known: Iterable[str]) -> list[str]:
    """Return which of the newest version's fields a schema has not."""
    written = {name for name, _, _ in fields_of(schema)}
    return [name for name in known if name not in written]


@cache
def writer(record: str) -> Write:
    """Return what writes a record's newest version: from the message's first bytes and the event.

    It writes nothing but an event that reading could have given: any other type than the schema's, a
    number of more than 64 bits, a text that UTF-8 can't hold raises one of `UNUSUAL`.
    """
    lines, parts = ["def made(prefix, event):"], ["prefix"]
    for number, (name, kind, nullable) in enumerate(fields_of(newest(record))):
        body = [*WRITE_LINES[kind], f"x{number} = x"]
        lines.append(f"    v = event.{name}")
        if nullable:
            body[-1] = f"x{number} = b'\\2' + x"
            lines += [f"    if v is None: x{number} = b'\\0'", "    else:"]
        lines += [f"    {'    ' * nullable}{line}" for line in body]
        parts.append(f"x{number}")
    lines.append(f"    return b''.join(({', '.join(parts)}))")
    function: Write = made(lines, {})
    return function
