# Converts values that orchestrators pass in to the schemas' types; others are left out and named.
#
# `convert.pyx` includes it; `convert.pyi` has the signatures. Nothing here raises because of a value: the
# usual types are handled in C, all others by Python's own conversions.
#
# Long because each type of value has a conversion of its own, and all are inlined into one compiled module.

import enum
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import islice

from cpython.dict cimport PyDict_CheckExact, PyDict_Copy, PyDict_Next
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_GET_LENGTH, PyUnicode_READ_CHAR
from libc.math cimport isfinite

from evometrics.producers.events.left_out import LEFT_OUT, UNNOTED, said
from evometrics.schemas.rules.validation import NAME_CHARACTERS, InvalidEvent

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)

#: Most items that are read from an iterable: a generator may never end.
MOST_ITEMS = 1_000_000
#: A number's digits; a number with more is not finite as a double.
DEF MOST_DIGITS = 400
#: An id that is too long keeps this many first characters and a digest of all of them.
DEF ID_KEPT = 900
DEF DIGEST = 32
cdef Py_ssize_t MOST_NAME = NAME_CHARACTERS
cdef object BIGGEST = 2**63


cdef inline object attribute(event, str name, left_out):
    """An event's attribute; None where it has none, or where the access raises."""
    try:
        return getattr(event, name, None)
    except Exception as error:
        left_out.add(name, error, "reading it raised")
        return None


cdef inline object first_of(event, str first, str second, left_out):
    """The first of two attributes that an event has and that is not None."""
    value = attribute(event, first, left_out)
    return attribute(event, second, left_out) if value is None else value


# Numbers -------------------------------------------------------------------------------------------------


cdef str numpy_kind(value):
    """The kind of a numpy value, one letter (`dtype.kind`); empty for other values."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return kind if PyUnicode_CheckExact(kind) else ""


cdef object number(value):
    """A finite float from anything that represents one number; None for everything else."""
    if PyFloat_CheckExact(value):
        return value if isfinite(PyFloat_AS_DOUBLE(value)) else None
    if value is None:
        return None
    found = None
    try:
        if isinstance(value, (str, bytes)) and len(value) > MOST_DIGITS:
            return None
        if numpy_kind(value) == "c":  # conversion would drop its imaginary part
            return None
        found = float(value)
    except Exception:
        found = inner_number(value)
    if found is None:
        return None
    found = found + 0.0  # an instance of a subclass becomes a plain float
    return found if isfinite(<double>found) else None


cdef object inner_number(value):
    """The number in an Enum or in a one-element array, as a float; None where there is none."""
    try:
        if isinstance(value, enum.Enum):
            return float(value.value)
        item = getattr(value, "item", None)
        return None if item is None or isinstance(value, type) else float(item())
    except Exception:
        return None


cpdef object number_of(value, str name, left_out):
    """A finite float, None where it was not given or is not one, which is noted."""
    if value is None:
        return None
    found = number(value)
    if found is None:
        left_out.add(name, value, "is not a finite number")
    return found


cdef object amount_of(value, str name, left_out):
    """A number that can't be below 0."""
    found = number_of(value, name, left_out)
    if found is not None and <double>found < 0:
        left_out.add(name, value, "is negative")
        return None
    return found


cdef object whole_number(value):
    """The whole number that something represents; None where it represents none."""
    try:
        if isinstance(value, (int, str)) and not isinstance(value, enum.Enum):
            return int(value)
    except Exception:
        pass
    plain = number(value)
    return int(plain) if plain is not None and plain == math.floor(plain) else None


cdef object whole_of(value, str name, left_out):
    """A whole number of 64 bits, None where it was not given or is not one, which is noted."""
    if value is None:
        return None
    found = value if PyLong_CheckExact(value) else whole_number(value)
    if found is None or not -BIGGEST <= found < BIGGEST:
        left_out.add(name, value, "is not a whole number of 64 bits")
        return None
    return found


cdef object count_of(value, str name, left_out):
    """A whole number that can't be below 0."""
    found = whole_of(value, name, left_out)
    if found is not None and found < 0:
        left_out.add(name, value, "is negative")
        return None
    return found


cdef object in_seconds(value):
    """A timedelta's seconds; other values unchanged."""
    if value is None or PyFloat_CheckExact(value):
        return value
    try:
        if numpy_kind(value) == "m":
            value = value.astype("timedelta64[us]").item()
        return value.total_seconds() if isinstance(value, timedelta) else value
    except Exception:
        return value


cdef object seconds_of(value, str name, left_out):
    """A duration in seconds; None where it was not given or is invalid, which is noted."""
    return amount_of(in_seconds(value), name, left_out)


TRUE_WORDS = frozenset("true yes y t 1 on ok success succeeded successful passed".split())
FALSE_WORDS = frozenset("false no n f 0 off failed failure error unsuccessful none".split())


cpdef object truth_of(value, str name, left_out):
    """True or False; None where it was not given or is neither, which is noted."""
    if value is None or value is True or value is False:
        return value
    try:
        if isinstance(value, enum.Enum) and not isinstance(value, int):
            value = value.value
        if isinstance(value, (str, bytes, bytearray)):
            word = text_of(value).strip().lower()
            if word in TRUE_WORDS:
                return True
            if word in FALSE_WORDS:
                return False
        else:
            plain = number(value)
            return bool(value) if plain is None and not isinstance(value, float) else bool(plain)
    except Exception:
        pass
    left_out.add(name, value, "is neither true nor false")
    return None


# Text ----------------------------------------------------------------------------------------------------


cdef str clean(str text):
    """Text that UTF-8 can encode: a lone surrogate is written as an escape."""
    if PyUnicode_IS_ASCII(text):
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


cpdef str text_of(value):
    """Text unchanged; ids, names and paths as text; anything else as JSON; None as empty."""
    if PyUnicode_CheckExact(value):
        return clean(<str>value)
    if value is None:
        return ""
    try:
        if isinstance(value, enum.Enum):
            return text_of(value.value)
        if isinstance(value, str):
            return clean(str.__str__(value))
        if isinstance(value, (bytes, bytearray)):
            return clean(bytes(value).decode("utf-8", "backslashreplace"))
        if isinstance(value, (bool, dict, list, tuple)):
            return json.dumps(value, default=said)
        return clean(str.__str__(str(value)))
    except Exception:
        return said(value)


cdef str name_of(value, str name, left_out):
    """A name that events are grouped by: text of bounded length."""
    cdef str found = text_of(value)
    if PyUnicode_GET_LENGTH(found) > MOST_NAME:
        left_out.add(name, found, f"has {len(found)} characters; {NAME_CHARACTERS} are kept")
        return found[:NAME_CHARACTERS]
    return found


cpdef str id_of(value):
    """An id as text, the same wherever it is given; a very long one is shortened and stays unique."""
    cdef str found = text_of(value)
    if PyUnicode_GET_LENGTH(found) > MOST_NAME:
        return f"{found[:ID_KEPT]}-{sha256(found.encode()).hexdigest()[:DIGEST]}"
    return found


# Times ---------------------------------------------------------------------------------------------------

#: How far ahead of its clock a node may say that something happened, seconds.
DEF MOST_AHEAD = 86_400.0
#: Numbers with an absolute value above this are not seconds, but a smaller unit.
DEF MILLISECONDS = 1e11
DEF MICROSECONDS = 1e14
DEF NANOSECONDS = 1e17


#: The broker's time minus that of a clock that is never set (`ticks`), seconds; None where it is not known.
cdef object broker_less_ticks = None


def set_broker_clock(less_ticks):
    global broker_less_ticks
    broker_less_ticks = less_ticks


def latest_now():
    own = now_micros()
    return own if broker_less_ticks is None else max(own, int((ticks() + broker_less_ticks) * 1e6))


cdef object moment_of(value, double now, str name, left_out):
    """A time in Unix seconds, from seconds, a datetime or ISO text; None where it is missing or invalid.

    A datetime without a zone is local time, like `datetime.timestamp`.
    """
    cdef double at
    if value is None:
        return None
    found = None
    if PyFloat_CheckExact(value):
        found = value
    else:
        try:
            if numpy_kind(value) == "M":  # numpy's times are UTC
                value = value.astype("datetime64[us]").item().replace(tzinfo=UTC)
            if isinstance(value, datetime):
                found = value.timestamp()
            elif isinstance(value, bool):
                found = None
            elif isinstance(value, str):
                found = number(value)
                if found is None:
                    found = datetime.fromisoformat(value).timestamp()
            elif isinstance(value, date):
                found = datetime(value.year, value.month, value.day).timestamp()
            else:
                found = number(value)
        except Exception:
            found = None
    if found is None or not isfinite(<double>found):
        left_out.add(name, value, "is not a time; give Unix seconds or a datetime")
        return None
    at = found
    if 0 <= at <= now + MOST_AHEAD or 0 <= at <= latest_now() / 1e6 + MOST_AHEAD:
        return at + 0.0
    if at >= NANOSECONDS:
        reason = "are nanoseconds; give seconds"
    elif at >= MICROSECONDS:
        reason = "are microseconds; give seconds"
    elif at >= MILLISECONDS:
        reason = "are milliseconds; give seconds"
    elif at < 0:
        reason = "is before 1970"
    else:
        reason = "is more than a day ahead of this node's clock"
    left_out.add(name, value, reason)
    return None


# Maps and lists ------------------------------------------------------------------------------------------


cdef bint plain_numbers(dict values):
    """Whether a map's names are plain text and its values plain finite numbers."""
    cdef PyObject *name
    cdef PyObject *value
    cdef Py_ssize_t place = 0
    while PyDict_Next(values, &place, &name, &value):
        if not (PyUnicode_CheckExact(<object>name) and PyUnicode_IS_ASCII(<object>name)):
            return False
        if not (PyFloat_CheckExact(<object>value) and isfinite(PyFloat_AS_DOUBLE(<object>value))):
            return False
    return True


cdef bint plain_texts(dict values):
    """Whether a map has only plain text."""
    cdef PyObject *name
    cdef PyObject *value
    cdef Py_ssize_t place = 0
    while PyDict_Next(values, &place, &name, &value):
        if not (PyUnicode_CheckExact(<object>name) and PyUnicode_IS_ASCII(<object>name)):
            return False
        if not (PyUnicode_CheckExact(<object>value) and PyUnicode_IS_ASCII(<object>value)):
            return False
    return True


cdef list pairs_of(value, str name, left_out):
    """A map's names and values, from any value that has some; one that has none is noted."""
    found = []
    try:
        if PyDict_CheckExact(value):
            return list((<dict>value).items())
        if not isinstance(value, Mapping) and not isinstance(value, type):
            to_dict, as_dict = getattr(value, "to_dict", None), getattr(value, "_asdict", None)
            if callable(to_dict):
                value = to_dict()
            elif callable(as_dict):
                value = as_dict()
            elif hasattr(value, "__dict__") and not callable(value) and not is_dataclass(value):
                value = {name: item for name, item in vars(value).items() if not name.startswith("_")}
            elif is_dataclass(value):
                value = {f.name: getattr(value, f.name, None) for f in dataclass_fields(value)}
        if isinstance(value, Mapping):
            for key in islice(iter(value), MOST_ITEMS):
                found.append((key, value[key]))
            return found
        left_out.add(name, value, "is not a map of names to values")
    except Exception as error:
        left_out.add(name, error, "reading it raised")
    return found


cdef dict numbers_in(value, str name, left_out, str agent=None):
    """A KPI map: finite numbers by name. Others are left out by name; the agent's own id is not a KPI."""
    if value is None:
        return {}
    if PyDict_CheckExact(value) and plain_numbers(value):
        return PyDict_Copy(value)
    cdef dict found = {}
    for key, item in pairs_of(value, name, left_out):
        kpi = text_of(key)
        plain = number(item)
        if plain is None:
            if kpi != "agent_id" or agent is None or text_of(item) != agent:
                left_out.add_within(name, kpi, item, "is not a finite number")
        elif kpi in found:
            left_out.add_within(name, kpi, item, "appears twice")
        else:
            found[kpi] = plain
    return found


cdef dict texts_in(value, str name, left_out):
    """Metadata: text by name."""
    if value is None:
        return {}
    if PyDict_CheckExact(value) and plain_texts(value):
        return PyDict_Copy(value)
    return {text_of(key): text_of(item) for key, item in pairs_of(value, name, left_out)}


cdef list items_of(value, str name, left_out):
    """A list of an iterable's items; a list of one for a value that is not iterable."""
    cdef list found
    if value is None:
        return []
    if PyList_CheckExact(value):
        return list(value)
    found = []
    try:
        if isinstance(value, (str, bytes, bytearray, type)):
            return [value]
        if not isinstance(value, Iterable) and not hasattr(value, "__getitem__"):
            return [value]
        tolist = getattr(value, "tolist", None)
        if callable(tolist):
            value = tolist()
            if not isinstance(value, list):
                return [value]
        elif isinstance(value, Mapping):
            value = value.values()
        for item in value:
            found.append(item)
            if len(found) == MOST_ITEMS:
                left_out.add(name, MOST_ITEMS, "further items were not read")
                break
    except Exception as error:
        left_out.add(name, error, f"reading it raised after {len(found)} items")
    return found


cdef list texts_of(value, str name, left_out):
    """A list of texts; one text is a list of one."""
    cdef list found
    cdef Py_ssize_t i
    if isinstance(value, dict):
        return [f"{text_of(key)}: {text_of(item)}" for key, item in pairs_of(value, name, left_out)]
    found = items_of(value, name, left_out)
    for i in range(len(found)):
        item = <object>PyList_GET_ITEM(found, i)
        if not (PyUnicode_CheckExact(item) and PyUnicode_IS_ASCII(item)):
            found[i] = text_of(item)
    return found


cdef list numbers_of(value, str name, left_out):
    """A list of finite numbers; other values are left out."""
    cdef list found = items_of(value, name, left_out)
    cdef Py_ssize_t i
    cdef bint plain = True
    for i in range(len(found)):
        item = <object>PyList_GET_ITEM(found, i)
        if not (PyFloat_CheckExact(item) and isfinite(PyFloat_AS_DOUBLE(item))):
            plain = False
            break
    if plain:
        return found
    cdef list kept = []
    for i in range(len(found)):
        one = number(found[i])
        if one is None:
            left_out.add_within(name, str(i), found[i], "is not a finite number")
        else:
            kept.append(one)
    return kept
