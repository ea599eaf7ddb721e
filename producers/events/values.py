# cython: annotation_typing=False
"""From values that orchestrators pass in to the schemas' types; what can't be kept is left out and named.

Nothing here raises because of a value: the usual types are recognized quickly, all others go through Python's
own conversions. Compiled, since a completion alone has some forty values.

Long because each type of value has a conversion of its own, and the usual way through them stays in C.
"""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import Any

from evometrics.producers.events import primitives
from evometrics.producers.events.left_out import LeftOut, said
from evometrics.producers.ticks import ticks
from evometrics.schemas.events import now_micros
from evometrics.schemas.rules.validation import NAME_CHARACTERS

#: Most items that are read from an iterable: a generator may never end.
MOST_ITEMS = 1_000_000
#: A number's digits; a number with more is not finite as a double.
MOST_DIGITS = 400
#: An id that is too long keeps this many first characters and a digest of all of them.
ID_KEPT = 900
DIGEST = 32
MOST_NAME = NAME_CHARACTERS
BIGGEST = 2**63


def attribute(event: object, name: str, left_out: LeftOut) -> Any:
    """An event's attribute; None where it has none, or where the access raises."""
    try:
        return getattr(event, name, None)
    except Exception as error:
        left_out.add(name, error, "reading it raised")
        return None


def first_of(event: object, first: str, second: str, left_out: LeftOut) -> Any:
    """The first of two attributes that an event has and that is not None."""
    value = attribute(event, first, left_out)
    return attribute(event, second, left_out) if value is None else value


# Numbers -------------------------------------------------------------------------------------------------


def numpy_kind(value: object) -> str:
    """The kind of a numpy value, one letter (`dtype.kind`); empty for other values."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return kind if type(kind) is str else ""


def number(value: Any) -> float | None:
    """A finite float from anything that represents one number; None for everything else."""
    if type(value) is float:
        return value if finite(value) else None
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
    return found if finite(found) else None


def inner_number(value: Any) -> float | None:
    """The number in an Enum or in a one-element array, as a float; None where there is none."""
    try:
        if isinstance(value, enum.Enum):
            return float(value.value)
        item = getattr(value, "item", None)
        return None if item is None or isinstance(value, type) else float(item())
    except Exception:
        return None


def number_of(value: Any, name: str, left_out: LeftOut) -> float | None:
    """A finite float, None where it was not given or is not one, which is noted."""
    if value is None:
        return None
    found = number(value)
    if found is None:
        left_out.add(name, value, "is not a finite number")
    return found


def amount_of(value: Any, name: str, left_out: LeftOut) -> float | None:
    """A number that can't be below 0."""
    found = number_of(value, name, left_out)
    if found is not None and found < 0:
        left_out.add(name, value, "is negative")
        return None
    return found


def whole_number(value: Any) -> int | None:
    """The whole number that something represents; None where it represents none."""
    try:
        if isinstance(value, (int, str)) and not isinstance(value, enum.Enum):
            return int(value)
    except Exception:
        pass
    plain = number(value)
    return int(plain) if plain is not None and plain == math.floor(plain) else None


def whole_of(value: Any, name: str, left_out: LeftOut) -> int | None:
    """A whole number of 64 bits, None where it was not given or is not one, which is noted."""
    if value is None:
        return None
    found = value if type(value) is int else whole_number(value)
    if found is None or not -BIGGEST <= found < BIGGEST:
        left_out.add(name, value, "is not a whole number of 64 bits")
        return None
    return found


def count_of(value: Any, name: str, left_out: LeftOut) -> int | None:
    """A whole number that can't be below 0."""
    found = whole_of(value, name, left_out)
    if found is not None and found < 0:
        left_out.add(name, value, "is negative")
        return None
    return found


def in_seconds(value: Any) -> Any:
    """A timedelta's seconds; other values unchanged."""
    if value is None or type(value) is float:
        return value
    try:
        if numpy_kind(value) == "m":
            value = value.astype("timedelta64[us]").item()
        return value.total_seconds() if isinstance(value, timedelta) else value
    except Exception:
        return value


def seconds_of(value: Any, name: str, left_out: LeftOut) -> float | None:
    """A duration in seconds; None where it was not given or is invalid, which is noted."""
    return amount_of(in_seconds(value), name, left_out)


TRUE_WORDS = frozenset(
    ("true", "yes", "y", "t", "1", "on", "ok", "success", "succeeded", "successful", "passed")
)
FALSE_WORDS = frozenset(
    ("false", "no", "n", "f", "0", "off", "failed", "failure", "error", "unsuccessful", "none")
)


def truth_of(value: Any, name: str, left_out: LeftOut) -> bool | None:
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


def clean(text: str) -> str:
    """Text that UTF-8 can encode: a lone surrogate is written as an escape."""
    if primitives.is_ascii(text):
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def text_of(value: Any) -> str:
    """Text unchanged; ids, names and paths as text; anything else as JSON; None as empty."""
    if type(value) is str:
        return clean(value)
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


def name_of(value: Any, name: str, left_out: LeftOut) -> str:
    """A name that events are grouped by: text of bounded length."""
    found = text_of(value)
    if len(found) > MOST_NAME:
        left_out.add(name, found, f"has {len(found)} characters; {NAME_CHARACTERS} are kept")
        return found[:NAME_CHARACTERS]
    return found


def id_of(value: Any) -> str:
    """An id as text, the same wherever it is given; a very long one is shortened and stays unique."""
    found = text_of(value)
    if len(found) > MOST_NAME:
        return f"{found[:ID_KEPT]}-{sha256(found.encode()).hexdigest()[:DIGEST]}"
    return found


# Times ---------------------------------------------------------------------------------------------------

#: How far ahead of its clock a node may say that something happened, seconds.
MOST_AHEAD = 86_400.0
#: Numbers with an absolute value above this are not seconds, but a smaller unit.
MILLISECONDS = 1e11
MICROSECONDS = 1e14
NANOSECONDS = 1e17


#: The broker's time minus that of a clock that is never set (`ticks`), seconds; None where it is not known.
broker_less_ticks: float | None = None


def set_broker_clock(less_ticks: float | None) -> None:
    global broker_less_ticks
    broker_less_ticks = less_ticks


def latest_now() -> int:
    own = now_micros()
    return own if broker_less_ticks is None else max(own, int((ticks() + broker_less_ticks) * 1e6))


def moment_of(value: Any, now: float, name: str, left_out: LeftOut) -> float | None:
    """A time in Unix seconds, from seconds, a datetime or ISO text; None where it is missing or invalid.

    A datetime without a zone is local time, like `datetime.timestamp`.
    """
    if value is None:
        return None
    found = None
    if type(value) is float:
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
    if found is None or not finite(found):
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


def is_plain_text(value: object) -> bool:
    """Whether a value is text in ASCII, of no subclass."""
    if type(value) is not str:
        return False
    text = value
    return primitives.is_ascii(text)


def is_plain_number(value: object) -> bool:
    """Whether a value is a finite float, of no subclass."""
    return type(value) is float and finite(value)


def finite(x: float) -> bool:
    """Whether a number is finite; in C without a call."""
    return x - x == 0.0


def plain_numbers(values: dict[Any, Any]) -> bool:
    """Whether a map's names are plain text and its values plain finite numbers."""
    for name, value in values.items():
        if not (is_plain_text(name) and is_plain_number(value)):
            return False
    return True


def plain_texts(values: dict[Any, Any]) -> bool:
    """Whether a map has only plain text."""
    for name, value in values.items():
        if not (is_plain_text(name) and is_plain_text(value)):
            return False
    return True


def pairs_of(value: Any, name: str, left_out: LeftOut) -> list[tuple[Any, Any]]:
    """A map's names and values, from any value that has some; one that has none is noted."""
    found = []
    try:
        if type(value) is dict:
            return list(value.items())
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


def numbers_in(value: Any, name: str, left_out: LeftOut, agent: str | None = None) -> dict[str, float]:
    """A KPI map: finite numbers by name. Others are left out by name; the agent's own id is not a KPI."""
    if value is None:
        return {}
    if type(value) is dict and plain_numbers(value):
        plain_map = value
        return plain_map.copy()
    found = {}
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


def texts_in(value: Any, name: str, left_out: LeftOut) -> dict[str, str]:
    """Metadata: text by name."""
    if value is None:
        return {}
    if type(value) is dict and plain_texts(value):
        plain_map = value
        return plain_map.copy()
    return {text_of(key): text_of(item) for key, item in pairs_of(value, name, left_out)}


def items_of(value: Any, name: str, left_out: LeftOut) -> list[Any]:
    """A list of an iterable's items; a list of one for a value that is not iterable."""
    if value is None:
        return []
    if type(value) is list:
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


def texts_of(value: Any, name: str, left_out: LeftOut) -> list[str]:
    """A list of texts; one text is a list of one."""
    if isinstance(value, dict):
        return [f"{text_of(key)}: {text_of(item)}" for key, item in pairs_of(value, name, left_out)]
    found = items_of(value, name, left_out)
    for i in range(len(found)):
        item = found[i]
        if not is_plain_text(item):
            found[i] = text_of(item)
    return found


def numbers_of(value: Any, name: str, left_out: LeftOut) -> list[float]:
    """A list of finite numbers; other values are left out."""
    found = items_of(value, name, left_out)
    plain = True
    for i in range(len(found)):
        if not is_plain_number(found[i]):
            plain = False
            break
    if plain:
        return found
    kept = []
    for i in range(len(found)):
        one = number(found[i])
        if one is None:
            left_out.add_within(name, str(i), found[i], "is not a finite number")
        else:
            kept.append(one)
    return kept
