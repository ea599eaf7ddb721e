"""Times and dates as a parameter's text: checked here, as ClickHouse makes other days of invalid ones.

It reads 2026-02-31 as 3 March, a thirteenth month as 1970, and what is out of a type's range as its end.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
TIMES = frozenset({"DateTime", "DateTime32", "DateTime64"})
#: First and last day of the types of dates (https://clickhouse.com/docs/sql-reference/data-types/date32).
DATES = {
    "Date": (dt.date(1970, 1, 1), dt.date(2149, 6, 6)),
    "Date32": (dt.date(1900, 1, 1), dt.date(2299, 12, 31)),
}
LAST_SECOND = 2**32 - 1
#: Of DateTime64, in seconds: from 1900 to 2299, and as far as 64 bits of nanoseconds.
FIRST_OF_64 = -2_208_988_800
LAST_OF_64 = 10_413_791_999
LAST_OF_NANOS = (2**63 - 1) // 10**9
NANOS = 9
LIKE_DATE = re.compile(r"\s*(?:\d{4}-|\d{4}[^\d\s]\d{1,2}[^\d\s]|\d{8}(?:[T ]|\Z))")
#: A day as ClickHouse reads it, too: 2026/1/31.
LOOSE = re.compile(r"(\d{4})[^\d\s](\d{1,2})[^\d\s](\d{1,2})(?!\d)")
#: Digits of a second below the microsecond, which Python's times have not.
FINER = re.compile(r"[.,]\d{6}(\d{1,3})")
NUMBER = re.compile(r"-?\d+(?:\.\d*)?\Z")


def is_number(text: str) -> bool:
    """Return whether text is seconds since 1970."""
    return NUMBER.match(text) is not None


def utc(value: dt.datetime) -> dt.datetime:
    """Return a time in UTC; one without a zone is UTC."""
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def date_text(name: str, value: Any) -> str:
    """Return a day for `Date` or `Date32`; a time is its day in UTC. Raises `ValueError`."""
    day = value
    if isinstance(value, int | str) and LIKE_DATE.match(str(value)):
        day = read(str(value))
    if isinstance(day, dt.datetime):
        day = utc(day).date()
    if not isinstance(day, dt.date):
        return str(value)  # for the server to refuse
    first, last = DATES[name]
    if not first <= day <= last:
        raise ValueError(f"{name} holds {first} to {last}")
    return day.isoformat()


def time_text(name: str, arguments: str, value: Any) -> str:
    """Return a time as seconds since 1970, exactly; text that is neither as it is. Raises `ValueError`."""
    finer = ""
    if isinstance(value, str) and LIKE_DATE.match(value):
        finer = found[1] if (found := FINER.search(value)) else ""
        value = read(value)
    elif isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime.combine(value, dt.time())
    wide, scale = name == "DateTime64", arguments.partition(",")[0].strip()
    if not isinstance(value, dt.datetime):
        if not wide and is_number(str(value)):
            within(name, float(value), 0, LAST_SECOND)
        return str(value)
    finer = f"{nanos:03d}" if (nanos := getattr(value, "nanosecond", 0)) else finer  # pandas has them
    micros = (utc(value) - EPOCH) // MICROSECOND
    if not wide:
        within(name, micros // 1_000_000, 0, LAST_SECOND)
        return str(micros // 1_000_000)
    within(name, micros // 1_000_000, FIRST_OF_64, LAST_OF_NANOS if scale == str(NANOS) else LAST_OF_64)
    sign, (seconds, rest) = "-" if micros < 0 else "", divmod(abs(micros), 1_000_000)
    return f"{sign}{seconds}.{rest:06d}{finer if micros >= 0 else ''}"


def within(name: str, seconds: float, first: int, last: int) -> None:
    """Raise `ValueError` for a time that a type does not hold."""
    if not first <= seconds <= last:
        day, other = (EPOCH + dt.timedelta(seconds=each) for each in (first, last))
        raise ValueError(f"{name} holds {day:%Y-%m-%d %H:%M:%S} to {other:%Y-%m-%d %H:%M:%S} UTC")


def read(text: str) -> dt.datetime:
    """Return the time, or the day's beginning, that ISO text names. Raises `ValueError`."""
    text = LOOSE.sub(lambda day: f"{day[1]}-{day[2]:0>2}-{day[3]:0>2}", text.strip(), count=1)
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"no valid ISO date or time ({error}), such as 2026-11-01T18:00:00Z") from None
