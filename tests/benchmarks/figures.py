"""From rounds to what is reported: medians, spreads, percentiles, ratios, and the JSON they become."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DIGITS = 4


@dataclass(frozen=True)
class Round:
    """One contender's measurement in one round.

    Attributes:
        events_per_s: events a second.
        cpu_us_per_event: processor time for an event in microseconds, by process.
        details: whatever else is worth a look, by name.
    """

    events_per_s: float
    cpu_us_per_event: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0-1) of the values do not exceed."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def waits(seconds: Sequence[float]) -> dict[str, float]:
    """Return how long something took, in milliseconds."""
    in_ms = [1000 * second for second in seconds]
    return {"p50_ms": percentile(in_ms, 0.5), "p99_ms": percentile(in_ms, 0.99), "max_ms": max(in_ms)}


def compared(ours: str, rounds: Mapping[str, Sequence[Round]], **facts: Any) -> dict[str, Any]:
    """Return a benchmark's report: ours, how many times as fast it is as each peer, then all of them."""
    contenders = {name: contender(measured) for name, measured in rounds.items()}
    own = contenders[ours]["events_per_s"]["median"]
    ratio = {
        name: own / found["events_per_s"]["median"] for name, found in contenders.items() if name != ours
    }
    return report(events_per_s=own, ratio=ratio, **facts, contenders=contenders)


def contender(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return one contender's figures over all rounds; details are those of its last round."""
    parts = dict.fromkeys(part for each in rounds for part in each.cpu_us_per_event)
    cpu = {
        part: statistics.median([r.cpu_us_per_event[part] for r in rounds if part in r.cpu_us_per_event])
        for part in parts
    }
    return {
        "events_per_s": spread([each.events_per_s for each in rounds]),
        "cpu_us_per_event": cpu,
        "rounds": [each.events_per_s for each in rounds],
        **rounds[-1].details,
    }


def report(**entries: Any) -> dict[str, Any]:
    """Return a benchmark's report."""
    return {name: rounded(value) for name, value in entries.items()}


def rounded(value: Any) -> Any:
    """Return a value with floats of a few significant digits: more would say what was not measured."""
    if isinstance(value, float):
        return value if value == 0 or not math.isfinite(value) else significant(value)
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def significant(value: float) -> float:
    """Return a number with `DIGITS` significant digits, whole where it is large."""
    places = DIGITS - 1 - math.floor(math.log10(abs(value)))
    return float(round(value)) if places <= 0 else round(value, places)
