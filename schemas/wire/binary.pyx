# cython: language_level=3, boundscheck=False, wraparound=False
"""Avro's binary encoding (Avro specification, "Binary encoding"), compiled: the most frequent work of all.

It handles what our writers write: one block per array or map, integers of at most 64 bits, an event's fields
with the types that reading returns, and finite. Anything else, or what is not Avro at all, raises one of
`UNUSUAL`; the caller then asks fastavro, which implements all of Avro and decides.
tests/schemas/wire/test_codec.py compares the two. Signatures and docstrings are in `binary.py`.
"""

class Unusual(Exception):
    """Not what is read or written here; fastavro decides whether it is valid."""


#: Exceptions that reading or writing here may raise.
UNUSUAL = (Unusual, LookupError, ValueError, TypeError, AttributeError, OverflowError)


include "avro.pxi"
include "../slots.pxi"

#: Most fields of a record.
DEF MOST_FIELDS = 128
#: Bytes of a container's sync marker.
DEF SYNC = 16

KINDS = {
    "string": STRING,
    "bytes": BYTES,
    "long": LONG,
    "double": DOUBLE,
    "boolean": BOOLEAN,
    "array of string": STRINGS,
    "array of double": DOUBLES,
    "map of string": STRING_MAP,
    "map of double": DOUBLE_MAP,
}


# Records -------------------------------------------------------------------------------------------------


cdef class RecordCodec:
    cdef object cls
    cdef object new
    cdef tuple names
    cdef tuple absent
    cdef list known
    cdef Py_ssize_t count
    cdef Py_ssize_t places[MOST_FIELDS]
    cdef Kind kinds[MOST_FIELDS]
    cdef bint nullable[MOST_FIELDS]

    def __init__(self, cls, fields, absent):
        if len(fields) > MOST_FIELDS:
            raise ValueError(f"a record of {len(fields)} fields; at most {MOST_FIELDS} are supported")
        self.cls = cls
        self.new = object.__new__
        self.names = tuple(name for name, _, _ in fields)
        self.known = [[] for _ in fields]
        self.absent = tuple(absent.items())
        self.count = len(fields)
        for i, (name, kind, nullable) in enumerate(fields):
            self.places[i] = -1 if name is None else place_of(cls, name)
            self.kinds[i] = KINDS[kind]
            self.nullable[i] = nullable

    def read(self, bytes b not None, Py_ssize_t start):
        cdef In source
        cdef Py_ssize_t i
        open_in(&source, b, start)
        event = self.new(self.cls)
        for i in range(self.count):
            name = self.names[i]
            if self.nullable[i] and not get_given(&source):
                if name is not None:
                    set_slot(event, self.places[i], name, None)
            elif name is None:
                pass_value(&source, self.kinds[i])
            else:
                value = get_value(&source, self.kinds[i], <list>self.known[i])
                set_slot(event, self.places[i], name, value)
        if source.place != source.size:
            raise Unusual
        for name, value in self.absent:
            setattr(event, name, value.copy() if isinstance(value, (list, dict)) else value)
        return event

    def write(self, bytes prefix not None, event):
        cdef Out out
        cdef Py_ssize_t i
        cdef bint own = type(event) is self.cls
        open_out(&out, 2048)
        try:
            put_all(&out, prefix)
            for i in range(self.count):
                name = self.names[i]
                if name is None:
                    raise Unusual
                value = get_slot(event, self.places[i] if own else -1, name)
                if self.nullable[i]:
                    if value is None:
                        put_byte(&out, 0)
                        continue
                    put_byte(&out, 2)
                put_value(&out, self.kinds[i], value)
            if not out.finite:
                raise Unusual
            return PyBytes_FromStringAndSize(out.data, out.size)
        finally:
            PyMem_Free(out.data)


# One by one ----------------------------------------------------------------------------------------------


def read_long(bytes b not None, Py_ssize_t p):
    cdef In source
    open_in(&source, b, p)
    n = get_long(&source)
    return n, source.place


def read_length(bytes b not None, Py_ssize_t p):
    cdef In source
    open_in(&source, b, p)
    n = get_length(&source)
    return n, source.place


def read_text(bytes b not None, Py_ssize_t p):
    cdef In source
    open_in(&source, b, p)
    text = get_text(&source)
    return text, source.place


def write_long(number):
    cdef char room[VARINT]
    cdef Out out
    out.data, out.size, out.room = room, 0, VARINT
    put_long(&out, number)
    return PyBytes_FromStringAndSize(room, out.size)


def write_longs(numbers):
    cdef Out out
    open_out(&out, 64)
    try:
        for number in numbers:
            put_long(&out, number)
        return PyBytes_FromStringAndSize(out.data, out.size)
    finally:
        PyMem_Free(out.data)


def write_block(partition, offset, timestamp, bytes value not None, Py_ssize_t start, bytes end not None):
    cdef Py_ssize_t datum = PyBytes_GET_SIZE(value) - start
    cdef Out out, numbers
    cdef char room[3 * VARINT]
    if start < 0 or datum < 0 or PyBytes_GET_SIZE(end) < SYNC:
        raise Unusual
    numbers.data, numbers.size, numbers.room = room, 0, 3 * VARINT
    put_long(&numbers, partition)
    put_long(&numbers, offset)
    put_long(&numbers, timestamp)
    open_out(&out, numbers.size + datum + PyBytes_GET_SIZE(end) + 2 * VARINT)
    try:
        put_number(&out, 1)
        put_number(&out, numbers.size + datum + PyBytes_GET_SIZE(end) - SYNC)
        put_raw(&out, room, numbers.size)
        put_raw(&out, PyBytes_AS_STRING(value) + start, datum)
        put_all(&out, end)
        return PyBytes_FromStringAndSize(out.data, out.size)
    finally:
        PyMem_Free(out.data)


def write_text(text):
    return write_one(STRING, text)


def write_bytes(raw):
    return write_one(BYTES, raw)


def fits(str kind not None, value):
    try:
        write_one(KINDS[kind], value)
    except UNUSUAL:
        return False
    return True


cdef bytes write_one(Kind kind, object value):
    cdef Out out
    open_out(&out, 256)
    try:
        put_value(&out, kind, value)
        return PyBytes_FromStringAndSize(out.data, out.size)
    finally:
        PyMem_Free(out.data)
