# cython: language_level=3, boundscheck=False, wraparound=False
"""Events as a block of ClickHouse's format Native, in C: no object is made of a field.

Signatures and docstrings are in `columns.py`.
"""

from evometrics.schemas.wire.binary import KINDS as NUMBERS, Unusual

include "../../schemas/wire/avro.pxi"
include "../../schemas/uuid.pxi"

from libc.stdint cimport int32_t
from libc.string cimport memset

PROVENANCE = (("_partition", "Int32"), ("_offset", "Int64"), ("_timestamp", "DateTime64(3, 'UTC')"))

DEF MOST_COLUMNS = 160
#: Bytes that a part of a column has room for at first.
DEF ROOM = 256


cdef struct Column:
    Kind kind
    bint nullable
    bint is_id
    bint is_short
    uint64_t items
    Out nulls
    Out ends
    Out names
    Out values


cdef inline int put_plain(Out* out, uint64_t x) except -1:
    """A number in as few bytes as it needs."""
    reserve(out, VARINT)
    put_varint_there(out, x)
    return 0


cdef inline int put_piece(Out* out, const uint8_t* raw, Py_ssize_t n) except -1:
    """Bytes with their number before them."""
    reserve(out, n + VARINT)
    put_varint_there(out, <uint64_t>n)
    memcpy(out.data + out.size, raw, n)
    out.size += n
    return 0


cdef inline int put_eight(Out* out, uint64_t x) except -1:
    return put_raw(out, <const char*>&x, 8)


cdef inline uint64_t digit(uint8_t c) noexcept:
    return c - 48 if c < 58 else (c | 32) - 87


cdef inline int put_id(Out* out, const uint8_t* raw, Py_ssize_t n) except -1:
    cdef uint64_t halves[2]
    cdef Py_ssize_t i, digits = 0
    if not is_uuid(raw, n):
        raise Unusual
    halves[0] = halves[1] = 0
    for i in range(UUID_TEXT):
        if raw[i] != HYPHEN:
            halves[digits >> 4] = halves[digits >> 4] << 4 | digit(raw[i])
            digits += 1
    return put_raw(out, <const char*>halves, UUID_SIZE)


cdef inline int put_string(Out* out, In* source) except -1:
    """A text, which must be UTF-8."""
    cdef Py_ssize_t begin, n = pass_text(source)
    begin = source.place - n
    return put_piece(out, source.data + begin, n)


cdef int put_items(Column* column, In* source) except -1:
    cdef Py_ssize_t n = get_length(source), i
    column.items += <uint64_t>n
    put_eight(&column.ends, column.items)
    if (column.kind == DOUBLES or column.kind == DOUBLE_MAP) and n > (source.size - source.place) >> 3:
        raise Unusual
    for i in range(n):
        if column.kind == STRING_MAP or column.kind == DOUBLE_MAP:
            put_string(&column.names, source)
        if column.kind == STRINGS or column.kind == STRING_MAP:
            put_string(&column.values, source)
        else:
            put_real(&column.values, get_double(source))
    if n:
        get_end(source)
    return 0


cdef inline int put_integer(Column* column, int64_t n) except -1:
    cdef int32_t narrow = <int32_t>n
    if not column.is_short:
        return put_eight(&column.values, <uint64_t>n)
    if narrow != n:
        raise Unusual
    return put_raw(&column.values, <const char*>&narrow, 4)


cdef int put_field(Column* column, In* source) except -1:
    cdef Py_ssize_t n
    if column.kind == STRING:
        if not column.is_id:
            return put_string(&column.values, source)
        n = get_length(source)
        put_id(&column.values, source.data + source.place, n)
        source.place += n
        return 0
    if column.kind == LONG:
        return put_integer(column, get_long(source))
    if column.kind == DOUBLE:
        return put_real(&column.values, get_double(source))
    if column.kind == BOOLEAN:
        return put_byte(&column.values, get_boolean(source))
    if column.kind == BYTES:
        n = get_length(source)
        put_piece(&column.values, source.data + source.place, n)
        source.place += n
        return 0
    return put_items(column, source)


cdef inline int put_nothing(Column* column) except -1:
    """What stands for null among the values."""
    if column.is_id:
        put_eight(&column.values, 0)
        return put_eight(&column.values, 0)
    if column.kind == LONG:
        return put_integer(column, 0)
    if column.kind == DOUBLE:
        return put_eight(&column.values, 0)
    return put_byte(&column.values, 0)


cdef class EventColumns:
    cdef readonly Py_ssize_t rows
    cdef Py_ssize_t count
    cdef list heads
    cdef Out provenance[3]
    cdef Column columns[MOST_COLUMNS]

    def __cinit__(self):
        memset(self.provenance, 0, sizeof(self.provenance))
        memset(self.columns, 0, sizeof(self.columns))

    def __init__(self, fields):
        cdef Py_ssize_t i
        cdef Column* column
        if len(fields) > MOST_COLUMNS:
            raise ValueError(f"a record of {len(fields)} fields; at most {MOST_COLUMNS} are supported")
        self.count = len(fields)
        self.heads = [head(name, kind) for name, kind in PROVENANCE]
        for i in range(3):
            open_out(&self.provenance[i], ROOM)
        for i, (name, kind, field) in enumerate(fields):
            column = &self.columns[i]
            column.kind = NUMBERS[field]
            column.nullable = kind.startswith("Nullable(")
            column.is_id = kind in ("UUID", "Nullable(UUID)")
            column.is_short = kind in ("Int32", "Nullable(Int32)")
            self.heads.append(head(name, kind))
            open_out(&column.nulls, ROOM)
            open_out(&column.ends, ROOM)
            open_out(&column.names, ROOM)
            open_out(&column.values, ROOM)

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(3):
            PyMem_Free(self.provenance[i].data)
        for i in range(MOST_COLUMNS):
            PyMem_Free(self.columns[i].nulls.data)
            PyMem_Free(self.columns[i].ends.data)
            PyMem_Free(self.columns[i].names.data)
            PyMem_Free(self.columns[i].values.data)

    def add(self, bytes value not None, Py_ssize_t start, place):
        cdef In source
        cdef Py_ssize_t i
        cdef Column* column
        cdef bint given
        cdef int32_t partition = place.partition
        cdef int64_t offset = place.offset, timestamp = place.timestamp
        put_raw(&self.provenance[0], <const char*>&partition, 4)
        put_eight(&self.provenance[1], <uint64_t>offset)
        put_eight(&self.provenance[2], <uint64_t>timestamp)
        open_in(&source, value, start)
        for i in range(self.count):
            column = &self.columns[i]
            if column.nullable:
                given = get_given(&source)
                put_byte(&column.nulls, not given)
                if not given:
                    put_nothing(column)
                    continue
            put_field(column, &source)
        if source.place != source.size:
            raise Unusual
        self.rows += 1

    def block(self):
        cdef Py_ssize_t i, size
        cdef Column* column
        cdef bytes raw
        cdef Out out, numbers
        cdef char room[2 * VARINT]
        numbers.data, numbers.size, numbers.room = room, 0, 2 * VARINT
        put_plain(&numbers, <uint64_t>(self.count + 3))
        put_plain(&numbers, <uint64_t>self.rows)
        size = numbers.size
        for i in range(3):
            size += self.provenance[i].size
        for i in range(self.count):
            column = &self.columns[i]
            size += column.nulls.size + column.ends.size + column.names.size + column.values.size
        for each in self.heads:
            size += PyBytes_GET_SIZE(<bytes>each)
        raw = PyBytes_FromStringAndSize(NULL, size)  # all of it, so that none of the following moves it
        out.data, out.size, out.room = PyBytes_AS_STRING(raw), 0, size
        put_raw(&out, numbers.data, numbers.size)
        for i in range(3):
            put_all(&out, self.heads[i])
            put_raw(&out, self.provenance[i].data, self.provenance[i].size)
        for i in range(self.count):
            column = &self.columns[i]
            put_all(&out, self.heads[i + 3])
            put_raw(&out, column.nulls.data, column.nulls.size)
            put_raw(&out, column.ends.data, column.ends.size)
            put_raw(&out, column.names.data, column.names.size)
            put_raw(&out, column.values.data, column.values.size)
        return raw


cdef bytes head(str name, str kind):
    """A column's name and type."""
    cdef Out out
    cdef bytes raw
    open_out(&out, ROOM)
    try:
        for raw in (name.encode(), kind.encode()):
            put_piece(&out, <const uint8_t*>PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
        return PyBytes_FromStringAndSize(out.data, out.size)
    finally:
        PyMem_Free(out.data)
