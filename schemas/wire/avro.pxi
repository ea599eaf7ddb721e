# Avro's binary encoding in C, for the modules that include it (`binary`, `streams.rows`).
#
# Those define `Unusual`, which is raised for anything that our writers would not write; see `binary.pyx`.
#
# Long because it is the whole encoding, written and read: whoever includes it gets functions that inline.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_Next, PyDict_SetItem, PyDict_Size
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE, PyList_New, PyList_SET_ITEM
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_Check, PyUnicode_DecodeUTF8
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1

cdef extern from *:
    """
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "evometrics.schemas.wire.binary copies doubles as they are in memory, which Avro wants little-endian"
    #endif
    """

#: Names of a map's entries that are cached, to recognize them without decoding.
DEF MOST_NAMES = 256
#: Most bytes of an encoded number.
DEF VARINT = 10

cdef enum Kind:
    STRING, BYTES, LONG, DOUBLE, BOOLEAN, STRINGS, DOUBLES, STRING_MAP, DOUBLE_MAP


# Reading -------------------------------------------------------------------------------------------------


cdef struct In:
    const uint8_t* data
    Py_ssize_t place
    Py_ssize_t size


cdef inline int open_in(In* source, bytes b, Py_ssize_t p) except -1:
    source.data = <const uint8_t*>PyBytes_AS_STRING(b)
    source.size = PyBytes_GET_SIZE(b)
    source.place = p
    if p < 0 or p > source.size:
        raise Unusual
    return 0


cdef inline uint64_t get_varint(In* source) except? 0xFFFF_FFFF_FFFF_FFFF:
    cdef uint64_t x = 0
    cdef int shift = 0
    cdef uint8_t byte
    while source.place < source.size:
        byte = source.data[source.place]
        source.place += 1
        if shift == 63 and byte > 1:
            raise Unusual
        x |= <uint64_t>(byte & 0x7F) << shift
        if byte < 128:
            if byte == 0 and shift:  # longer than necessary: texts are compared with their lengths
                raise Unusual
            return x
        shift += 7
    raise Unusual


cdef inline int64_t get_long(In* source) except? -1:
    cdef uint64_t x = get_varint(source)
    return <int64_t>(x >> 1) ^ -<int64_t>(x & 1)


cdef inline Py_ssize_t get_length(In* source) except -1:
    """The length of what follows, all of it present; or a block's count, at most the bytes left."""
    cdef uint64_t x = get_varint(source)
    if x & 1 or x >> 1 > <uint64_t>(source.size - source.place):
        raise Unusual
    return <Py_ssize_t>(x >> 1)


cdef inline int get_end(In* source) except -1:
    """Pass the end of an array or map whose only block was read."""
    if source.place >= source.size or source.data[source.place]:
        raise Unusual
    source.place += 1
    return 0


cdef inline str get_text(In* source):
    cdef Py_ssize_t n = get_length(source)
    text = PyUnicode_DecodeUTF8(<const char*>source.data + source.place, n, NULL)
    source.place += n
    return text


cdef inline bytes get_bytes(In* source):
    cdef Py_ssize_t n = get_length(source)
    raw = PyBytes_FromStringAndSize(<const char*>source.data + source.place, n)
    source.place += n
    return raw


cdef inline double get_double(In* source) except? -1.5:
    cdef double x
    if source.size - source.place < 8:
        raise Unusual
    memcpy(&x, source.data + source.place, 8)
    if not isfinite(x):
        raise Unusual
    source.place += 8
    return x


cdef inline bint get_boolean(In* source) except -1:
    cdef uint8_t byte
    if source.place >= source.size:
        raise Unusual
    byte = source.data[source.place]
    if byte > 1:
        raise Unusual
    source.place += 1
    return byte == 1


cdef inline bint get_given(In* source) except -1:
    """Whether a nullable field has a value."""
    cdef uint64_t branch = get_varint(source)
    if branch != 0 and branch != 2:
        raise Unusual
    return branch == 2


cdef list get_texts(In* source):
    cdef Py_ssize_t n = get_length(source), i
    cdef list found = []
    for i in range(n):
        found.append(get_text(source))
    if n:
        get_end(source)
    return found


cdef list get_doubles(In* source):
    cdef Py_ssize_t n = get_length(source), i
    cdef object number
    if n > (source.size - source.place) >> 3:
        raise Unusual
    cdef list found = PyList_New(n)
    for i in range(n):
        number = get_double(source)
        Py_INCREF(number)
        PyList_SET_ITEM(found, i, number)
    if n:
        get_end(source)
    return found


cdef dict get_map(In* source, Kind kind, list known):
    cdef Py_ssize_t n = get_length(source), i
    cdef dict found = {}
    cdef str name
    for i in range(n):
        name = get_name(source, known, i)
        if kind == DOUBLE_MAP:
            PyDict_SetItem(found, name, get_double(source))
        else:
            PyDict_SetItem(found, name, get_text(source))
    if n:
        get_end(source)
    return found


cdef str get_name(In* source, list known, Py_ssize_t i):
    """The name of a map's entry; recognized by its bytes if the previous map had it at this position."""
    cdef Py_ssize_t n
    cdef bytes raw
    cdef str name
    n = get_length(source)
    cdef const char* begin = <const char*>source.data + source.place
    source.place += n
    if i < PyList_GET_SIZE(known):
        raw, name = <tuple>PyList_GET_ITEM(known, i)
        if PyBytes_GET_SIZE(raw) == n and memcmp(PyBytes_AS_STRING(raw), begin, n) == 0:
            return name
    name = PyUnicode_DecodeUTF8(begin, n, NULL)
    if i < PyList_GET_SIZE(known):
        known[i] = (PyBytes_FromStringAndSize(begin, n), name)
    elif i == PyList_GET_SIZE(known) and i < MOST_NAMES:
        known.append((PyBytes_FromStringAndSize(begin, n), name))
    return name


cdef object get_value(In* source, Kind kind, list known):
    if kind == STRING:
        return get_text(source)
    if kind == LONG:
        return get_long(source)
    if kind == DOUBLE:
        return get_double(source)
    if kind == BOOLEAN:
        return get_boolean(source)
    if kind == DOUBLE_MAP or kind == STRING_MAP:
        return get_map(source, kind, known)
    if kind == DOUBLES:
        return get_doubles(source)
    if kind == STRINGS:
        return get_texts(source)
    return get_bytes(source)


cdef Py_ssize_t pass_text(In* source) except -1:
    """Skip a text, which must be UTF-8; returns its length."""
    cdef Py_ssize_t n = get_length(source), i
    cdef const uint8_t* text = source.data + source.place
    cdef uint8_t high = 0
    for i in range(n):
        high |= text[i]
    if high & 0x80:
        PyUnicode_DecodeUTF8(<const char*>text, n, NULL)
    source.place += n
    return n


cdef int pass_value(In* source, Kind kind) except -1:
    """Skip a value, which must be one that reading accepts."""
    cdef Py_ssize_t n, i
    if kind == STRING:
        pass_text(source)
    elif kind == LONG:
        get_long(source)
    elif kind == DOUBLE:
        get_double(source)
    elif kind == BOOLEAN:
        get_boolean(source)
    elif kind == BYTES:
        n = get_length(source)
        source.place += n
    else:
        n = get_length(source)
        for i in range(n):
            if kind == DOUBLE_MAP or kind == STRING_MAP:
                pass_text(source)
            if kind == DOUBLES or kind == DOUBLE_MAP:
                get_double(source)
            else:
                pass_text(source)
        if n:
            get_end(source)
    return 0


# Writing -------------------------------------------------------------------------------------------------


cdef struct Out:
    char* data
    Py_ssize_t size
    Py_ssize_t room
    #: Whether all doubles so far are finite.
    bint finite


cdef inline int open_out(Out* out, Py_ssize_t room) except -1:
    out.data = <char*>PyMem_Malloc(room)
    if out.data == NULL:
        raise MemoryError
    out.size = 0
    out.room = room
    out.finite = True
    return 0


cdef inline int reserve(Out* out, Py_ssize_t more) except -1:
    cdef char* data
    cdef Py_ssize_t room
    if out.room - out.size < more:
        room = 2 * out.room + more
        data = <char*>PyMem_Realloc(out.data, room)
        if data == NULL:
            raise MemoryError
        out.data = data
        out.room = room
    return 0


cdef inline void put_varint_there(Out* out, uint64_t x) noexcept:
    while x > 127:
        out.data[out.size] = <char>(x & 0x7F | 0x80)
        out.size += 1
        x >>= 7
    out.data[out.size] = <char>x
    out.size += 1


cdef inline int put_number(Out* out, int64_t n) except -1:
    reserve(out, VARINT)
    put_varint_there(out, (<uint64_t>n << 1) ^ <uint64_t>(n >> 63))
    return 0


cdef inline int put_raw(Out* out, const char* raw, Py_ssize_t n) except -1:
    reserve(out, n)
    memcpy(out.data + out.size, raw, n)
    out.size += n
    return 0


cdef inline int put_all(Out* out, bytes raw) except -1:
    return put_raw(out, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


cdef inline int put_real(Out* out, double x) except -1:
    return put_raw(out, <const char*>&x, 8)


cdef inline int put_sized(Out* out, const char* raw, Py_ssize_t n) except -1:
    reserve(out, n + VARINT)
    put_varint_there(out, <uint64_t>n << 1)
    memcpy(out.data + out.size, raw, n)
    out.size += n
    return 0


cdef inline int put_byte(Out* out, char byte) except -1:
    reserve(out, 1)
    out.data[out.size] = byte
    out.size += 1
    return 0


cdef inline int put_text(Out* out, object text) except -1:
    cdef Py_ssize_t n
    cdef const char* raw
    if not PyUnicode_Check(text):
        raise Unusual
    raw = PyUnicode_AsUTF8AndSize(text, &n)
    return put_sized(out, raw, n)


cdef inline int put_bytes(Out* out, object raw) except -1:
    if not PyBytes_CheckExact(raw):
        raise Unusual
    return put_sized(out, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


cdef inline int put_long(Out* out, object number) except -1:
    cdef int overflow = 0
    cdef long long n
    if not PyLong_CheckExact(number):
        raise Unusual
    n = PyLong_AsLongLongAndOverflow(number, &overflow)
    if overflow:
        raise Unusual
    return put_number(out, n)


cdef inline int put_double(Out* out, object number) except -1:
    cdef double x
    if not PyFloat_CheckExact(number):
        raise Unusual
    x = PyFloat_AS_DOUBLE(number)
    if not isfinite(x):
        out.finite = False
    return put_real(out, x)


cdef inline int put_boolean(Out* out, object value) except -1:
    if value is True:
        return put_byte(out, 1)
    if value is False:
        return put_byte(out, 0)
    raise Unusual


cdef int put_texts(Out* out, object texts) except -1:
    cdef Py_ssize_t n, i
    if not PyList_CheckExact(texts):
        raise Unusual
    n = PyList_GET_SIZE(texts)
    if n:
        put_number(out, n)
        for i in range(n):
            put_text(out, <object>PyList_GET_ITEM(texts, i))
    return put_byte(out, 0)


cdef int put_doubles(Out* out, object numbers) except -1:
    cdef Py_ssize_t n, i
    if not PyList_CheckExact(numbers):
        raise Unusual
    n = PyList_GET_SIZE(numbers)
    if n:
        put_number(out, n)
        reserve(out, 8 * n)
        for i in range(n):
            put_double(out, <object>PyList_GET_ITEM(numbers, i))
    return put_byte(out, 0)


cdef int put_map(Out* out, object values, Kind kind) except -1:
    cdef PyObject *name
    cdef PyObject *value
    cdef Py_ssize_t place = 0
    if not PyDict_CheckExact(values):
        raise Unusual
    if PyDict_Size(values):
        put_number(out, PyDict_Size(values))
        while PyDict_Next(values, &place, &name, &value):
            put_text(out, <object>name)
            if kind == DOUBLE_MAP:
                put_double(out, <object>value)
            else:
                put_text(out, <object>value)
    return put_byte(out, 0)


cdef inline int put_value(Out* out, Kind kind, object value) except -1:
    if kind == STRING:
        return put_text(out, value)
    if kind == LONG:
        return put_long(out, value)
    if kind == DOUBLE:
        return put_double(out, value)
    if kind == BOOLEAN:
        return put_boolean(out, value)
    if kind == DOUBLE_MAP or kind == STRING_MAP:
        return put_map(out, value, kind)
    if kind == DOUBLES:
        return put_doubles(out, value)
    if kind == STRINGS:
        return put_texts(out, value)
    return put_bytes(out, value)
