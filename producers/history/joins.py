"""The completions that a batch of events changes in a history, each joined with its start as in the stream.

A start may have been written by another process, or in an earlier run, and may come after the completion.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted
from evometrics.schemas.evolutions.joining import lacking
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_STARTED
from evometrics.schemas.wire.framing import WireFormat

STORED = "SELECT value FROM events WHERE evolution_id = ? AND key = ? AND topic = ? ORDER BY rowid"


def completions(
    db: sqlite3.Connection, wire: WireFormat, events: Iterable[Event]
) -> Iterator[tuple[EvolutionCompleted, EvolutionStarted | None]]:
    """Yield the completions among new events, and those that were stored before their start arrived."""
    starts: dict[tuple[str, str], EvolutionStarted] = {}
    done: dict[str, EvolutionCompleted] = {}
    for event in events:
        if isinstance(event, EvolutionStarted):
            starts.setdefault((event.agent_id, event.evolution_id), event)
        elif isinstance(event, EvolutionCompleted):
            done[event.event_id] = event
    for start in starts.values():
        for found in stored(db, wire, start, EVOLUTION_COMPLETED.name):
            if isinstance(found, EvolutionCompleted):
                done.setdefault(found.event_id, found)
    for event in done.values():
        known = starts.get((event.agent_id, event.evolution_id))
        if known is None and lacking(event):
            for found in stored(db, wire, event, EVOLUTION_STARTED.name):
                if known is None and isinstance(found, EvolutionStarted):
                    known = found
        yield event, known


def stored(
    db: sqlite3.Connection, wire: WireFormat, of: EvolutionStarted | EvolutionCompleted, topic: str
) -> Iterator[Event]:
    """Yield the events of a topic that a history has for an event's evolution."""
    for (value,) in db.execute(STORED, (of.evolution_id, of.key, topic)).fetchall():
        yield wire.decode(value)
