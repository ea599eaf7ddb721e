"""What a value looks like on a page, and in a CSV file."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, datetime
from typing import Any

from evometrics.deploy.ui.page import Rows

#: Longest text in a cell; the page of a candidate shows texts whole.
MOST_CHARACTERS = 120
DIGITS = 6


def shown(value: Any) -> str:
    """Return a value for a table's cell, numbers with six digits."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.{DIGITS}g}" if abs(value) < 10**DIGITS else f"{value:,.0f}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    text = whole(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def whole(value: Any) -> str:
    """Return a value as text with all its digits, as SQL has it; times without a zone's suffix are UTC."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S") + (f".{value:%f}".rstrip("0").rstrip("."))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


def is_number(value: Any) -> bool:
    """Return whether a cell is a number, which stands at its right end."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def csv_text(rows: Rows) -> str:
    """Return rows as CSV with their names, every digit of a number, and times in UTC.

    A text that a spreadsheet would take for a formula is given an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    if rows:
        writer.writerow(rows[0])
    for row in rows:
        writer.writerow([harmless(value) for value in row.values()])
    return out.getvalue()


def harmless(value: Any) -> Any:
    """Return a value for a CSV cell."""
    if is_number(value):
        return repr(value)
    text = whole(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
