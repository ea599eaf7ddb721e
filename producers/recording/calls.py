"""From a call's keywords to what the collector takes, as a snapshot."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from evometrics.producers.events.evolution_events import EvolutionCompletionEvent, EvolutionEvent
from evometrics.producers.events.given import ATTRIBUTES
from evometrics.producers.recording.handoff import EVENT_WEIGHT, Entry
from evometrics.producers.recording.snapshot import fields_snapshot, weight

STARTED = frozenset(field.name for field in dataclasses.fields(EvolutionEvent))
COMPLETED = frozenset(field.name for field in dataclasses.fields(EvolutionCompletionEvent))
OTHER_NAMES = {"pre_kpis": "pre_evolution_kpis", "post_kpis": "post_evolution_kpis"}


def entry(method: str, args: tuple[Any, ...], named: dict[str, Any]) -> Entry:
    """Return a call of the collector, whose arguments are a snapshot."""
    return Entry(method, args, named, EVENT_WEIGHT + weight(named) + sum(map(weight, args)))


def start_entry(agent: str, fields: Mapping[str, object]) -> Entry:
    """Return the call that records a start."""
    own, others = split(STARTED, fields)
    call = entry("record_evolution_start", (EvolutionEvent(agent_id=agent, **own),), others)
    return call._replace(weight=call.weight + weight(own))


def completion_entry(agent: str, fields: Mapping[str, object]) -> Entry:
    """Return the call that records a completion.

    As an object of our own class, whose time is the end for certain.
    """
    own, others = split(COMPLETED, fields)
    event = EvolutionCompletionEvent(agent_id=agent, **own)
    call = entry("record_evolution_completion", (event,), others)
    return call._replace(weight=call.weight + weight(own))


def split(names: frozenset[str], fields: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an event's own fields, and attributes of other names; what else is given becomes metadata."""
    own: dict[str, Any] = {}
    others: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for given, value in fields_snapshot(fields).items():
        name = OTHER_NAMES.get(given, given)
        (own if name in names else others if name in ATTRIBUTES else more)[name] = value
    if more:
        before = own.get("metadata")
        if before is None or type(before) is dict:
            own["metadata"] = {**more, **(before or {})}
    return own, others
