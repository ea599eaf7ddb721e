"""Times as files have them: Unix time, ISO 8601, or Python's types; refused where they are something else.

A number is a time only if it lies in this century, in seconds, milliseconds, microseconds or nanoseconds:
these ranges are far apart. Any other number is of another kind (a year, a spreadsheet's serial day, a date
without its dashes), which would be a time early in 1970.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
#: Unix seconds of 2000-01-01 and 2100-01-01.
FIRST, LAST = 946_684_800, 4_102_444_800
#: Units per second in which Unix time is written.
UNITS = (1, 1_000, 1_000_000, 1_000_000_000)
#: Digits of a date in ISO 8601's basic form, YYYYMMDD.
BASIC_DATE = 8


class NoTime(ValueError):
    """The value is not a time; `str()` says what it looks like, and what would be right."""


def of_text(value: str) -> int:
    """Return microseconds since 1970 from Unix time in digits or an ISO 8601 time; UTC if without a zone.

    Raises `NoTime`.
    """
    text = value.strip()
    if not ((len(text) == BASIC_DATE and text.isdecimal()) or "_" in text):  # only Python reads 1_0 as ten
        try:
            return of_number(int(text) if text.isascii() and text.isdecimal() else float(text))
        except NoTime:
            raise
        except ValueError:
            text = text.removesuffix(" UTC")  # BigQuery and PostgreSQL write it
    try:
        return of_date(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise NoTime("is neither Unix seconds nor an ISO 8601 time") from None


def of_number(value: float) -> int:
    """Return microseconds since 1970 from Unix time, exact for whole numbers. Raises `NoTime`."""
    for unit in UNITS:
        if FIRST * unit <= value < LAST * unit:
            if isinstance(value, int):
                return value * 1_000_000 // unit
            return round(value / unit * 1_000_000)
    raise NoTime(f"is not a time: it {likeness(value)}; give Unix seconds (of 2000 to 2099) or ISO 8601")


def of_date(at: date) -> int:
    """Return a time as microseconds since 1970; a date means 0 h UTC. Raises `OverflowError`."""
    if not isinstance(at, datetime):
        at = datetime(at.year, at.month, at.day, tzinfo=UTC)
    elif at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return (at - EPOCH) // MICROSECOND


def likeness(value: float) -> str:
    """Return, in words, what a number that is not Unix time looks like."""
    if value != value or value in (float("inf"), float("-inf")):
        return "is not finite"
    if value == int(value) and len(digits := str(int(value)) if 0 < value < 1e16 else "") in (8, 12, 14):
        try:
            written = datetime.strptime(f"{digits:0<14}", "%Y%m%d%H%M%S")
        except ValueError:
            pass
        else:
            return f"looks like {written.isoformat()} written as a number"
    if 1900 <= value < 2100:
        return "looks like a year"
    if 20_000 <= value < 80_000:
        return "looks like a spreadsheet's serial day"
    if 2_400_000 <= value < 2_500_000:
        return "looks like a Julian day"
    return "is in another century, whatever the unit"
