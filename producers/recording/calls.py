"""From a call's keywords to what the collector takes, as a snapshot."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from evometrics.producers.events.evolution_events import EvolutionCompletionEvent, EvolutionEvent
from evometrics.producers.events.given import ATTRIBUTES
from evometrics.producers.recording.handoff import EVENT_WEIGHT, Entry
from evometrics.producers.recording.snapshot import data_snapshot, fields_snapshot, weight

STARTED = frozenset(field.name for field in dataclasses.fields(EvolutionEvent))
COMPLETED = frozenset(field.name for field in dataclasses.fields(EvolutionCompletionEvent))
OTHER_NAMES = {"pre_kpis": "pre_evolution_kpis", "post_kpis": "post_evolution_kpis"}


def start_entry(agent: str, fields: Mapping[str, object]) -> Entry:
    """Return the call that records a start."""
    own, others, size = split(STARTED, fields)
    return Entry("record_evolution_start", (EvolutionEvent(agent_id=agent, **own),), others, size)


def completion_entry(agent: str, fields: Mapping[str, object]) -> Entry:
    """Return the call that records a completion.

    As an object of our own class, whose time is the end for certain.
    """
    own, others, size = split(COMPLETED, fields)
    event = EvolutionCompletionEvent(agent_id=agent, **own)
    return Entry("record_evolution_completion", (event,), others, size)


def agent_entry(method: str, agent: str, fields: Mapping[str, object]) -> Entry:
    """Return a call that takes an agent and keywords."""
    named, size = fields_snapshot(fields)
    return Entry(method, (agent,), named, EVENT_WEIGHT + size)


def system_entry(event_type: str, data: object) -> Entry:
    """Return the call that records a system event."""
    plain = data_snapshot(data)
    return Entry("record_system_event", (event_type, plain), {}, EVENT_WEIGHT + weight(plain))


def split(names: frozenset[str], fields: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Return an event's own fields, its attributes of other names, and about how many bytes they take.

    What is neither becomes metadata.
    """
    own: dict[str, Any] = {}
    others: dict[str, Any] = {}
    more: dict[str, Any] = {}
    found, size = fields_snapshot(fields)
    for given, value in found.items():
        name = OTHER_NAMES.get(given, given)
        if name in names:
            own[name] = value
        elif name in ATTRIBUTES:
            others[name] = value
        else:
            more[name] = value
    if more:
        before = own.get("metadata")
        if before is None or type(before) is dict:
            own["metadata"] = {**more, **(before or {})}
    return own, others, EVENT_WEIGHT + size
