"""A benchmark's report as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SHOWN_ELSEWHERE = ("contenders", "ratio", "machine")


def tables(name: str, report: dict[str, Any]) -> str:
    """Return a report as text: its facts, then its contenders or whatever lists of rows it holds."""
    plain = {k: v for k, v in report.items() if not isinstance(v, dict | list) and k != "events_per_s"}
    facts = [f"{key.replace('_', ' ')} {shown(value)}" for key, value in plain.items()]
    machine = report.get("machine", {})
    facts.append(f"load before {machine.get('load_before')} on {machine.get('cores')} cores")
    parts = [f"\n{name}: {', '.join(facts)}"]
    if "contenders" in report:
        parts.append(table([line(n, found, report) for n, found in report["contenders"].items()]))
    for key, value in report.items():
        rows = [value] if isinstance(value, dict) and key not in SHOWN_ELSEWHERE else value
        if isinstance(rows, list) and rows:
            parts.append(f"{key.replace('_', ' ')}\n{table([flat(row) for row in rows])}")
    return "\n\n".join(parts)


def line(name: str, found: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """Return a contender's row."""
    speed, ratio = found["events_per_s"], report["ratio"].get(name)
    row = {
        "contender": name,
        "events": found["events"],
        "events/s": speed["median"],
        "least": speed["min"],
        "most": speed["max"],
    }
    row["ours is"] = "" if ratio is None else f"{shown(ratio)} times as fast"
    return row | {f"{part}, us/event": us for part, us in own_first(name, found["cpu_us_per_event"]).items()}


def own_first(name: str, cpu: dict[str, float]) -> dict[str, float]:
    """Return processor time with the contender's own under one name, so that columns are the same for all."""
    return {"process": cpu.get(name, 0.0)} | {part: us for part, us in cpu.items() if part != name}


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the entries of inner maps as columns."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            found |= {f"{key} {inner}": item for inner, item in value.items() if not isinstance(item, dict)}
        else:
            found[key] = value
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows of equal or differing columns as aligned text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[name.replace("_", " ") for name in names]]
    cells += [[shown(row.get(name, "")) for name in names] for row in rows]
    widths = [max(len(row[n]) for row in cells) for n in range(len(names))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def shown(value: Any) -> str:
    """Return a value as people write it."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:,.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
