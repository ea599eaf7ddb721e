"""The stream's job per event, as far as it is arithmetic: what the peers have in common with us."""

from __future__ import annotations

import argparse
import json

from evometrics.schemas.events import Event, EvolutionCompleted, SuccessRate
from evometrics.schemas.rules.validation import validate
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.formulas.windows import SECOND, WINDOWS, Counts, Scope, affected_rows
from evometrics.streams.states.window_counts import WindowCounts

LATENESS_SECONDS = 172_800
#: How long a group keeps a member that stands still: while the topics are filled they all do.
SESSION_SECONDS = 90
ABANDONED_MICROS = 86_400 * SECOND

#: Attempts and successes as JSON holds them: for each window a flat list step, attempts, successes, step, ...
Packed = list[list[int]]


def arguments(description: str | None) -> argparse.Namespace:
    """Return a peer's command line: where to read, as which consumer group."""
    parse = argparse.ArgumentParser(description=description)
    parse.add_argument("--brokers", required=True)
    parse.add_argument("--group", required=True)
    parse.add_argument("--partitions", type=int, default=6)
    parse.add_argument("--folder", default=".")
    return parse.parse_args()


def read(wire: WireFormat, value: bytes, timestamp_ms: int) -> Event:
    """Return a valid event. Raises `UnreadableMessage` or `InvalidEvent`."""
    event = wire.decode(value)
    validate(event, now=timestamp_ms * 1000)
    return event


def counted(scope: Scope, packed: Packed | None, at: int, success: bool) -> tuple[Packed, list[SuccessRate]]:
    """Count an attempt; return the new counts and the rows it changes."""
    counts = WindowCounts(WINDOWS)
    for number, window in enumerate(packed or []):
        for step, attempts, successes in zip(window[0::3], window[1::3], window[2::3], strict=True):
            counts.count(number, step, attempts, successes)
    changed = counts.add(at, success, LATENESS_SECONDS)
    if changed is None:
        return pack(counts.counts), []
    rows = [
        row
        for window, totals, steps in zip(WINDOWS, counts.counts, changed, strict=True)
        for row in affected_rows(scope, window, totals, steps)
    ]
    counts.prune(LATENESS_SECONDS)
    return pack(counts.counts), rows


def pack(counts: list[Counts]) -> Packed:
    """Return counts as flat lists."""
    return [[n for step, (a, s) in window.items() for n in (step, a, s)] for window in counts]


def fact(done: EvolutionCompleted) -> bytes:
    """Return what a scope has to know of a completion."""
    return json.dumps({"at": done.occurred_at, "success": done.success}).encode()
