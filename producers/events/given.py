"""What a caller passes as an event (any object, a mapping, or keywords), as one object with attributes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from evometrics.producers.events.evolution_events import EvolutionCompletionEvent, EvolutionEvent
from evometrics.producers.events.left_out import LeftOut
from evometrics.producers.events.values import text_of
from evometrics.schemas.rules.validation import is_uuid

#: Classes with exactly these attributes, which may have any values.
OWN = frozenset({EvolutionEvent, EvolutionCompletionEvent})
#: The attributes that are read from an event: those of our classes, their other names, and what else a
#: progress report or an event of the specification may have.
ATTRIBUTES = frozenset(field.name for cls in OWN for field in dataclasses.fields(cls)) | {
    *("pre_kpis", "post_kpis", "strategy_used", "strategy_name", "iteration", "fitness"),
    *("error_count", "warning_count", "memory_used_mb", "cpu_percent_avg", "gpu_memory_mb"),
    "network_bytes_transferred",
} - {"event_id"}


class Overlaid:
    """An event with some attributes replaced by keywords."""

    def __init__(self, event: object, named: Mapping[str, Any]) -> None:
        self._event = event
        self._named = named

    def __getattr__(self, name: str) -> Any:
        return self._named[name] if name in self._named else getattr(self._event, name)


def event_of(event: object, other: object, named: Mapping[str, Any]) -> object:
    """Return an event as an object with attributes.

    `other` is the value passed under the specification's own name of the argument; `named` are further
    keywords, which take precedence over the object's attributes. Names that no event has go into its
    metadata.
    """
    event = other if event is None else event
    if type(event) in OWN:
        pass
    elif is_mapping(event):
        event = from_mapping(event)
    elif (fields := dictionary_of(event)) is not None:
        event = from_mapping(fields)
    if named:
        own = vars(from_mapping(named))
        if "metadata" in own and "metadata" not in named:
            before = metadata_of(event)
            own["metadata"] = {**before, **own["metadata"]} if type(before) is dict else own["metadata"]
        event = Overlaid(event, own)
    return event


def given_event_id(event: object, left_out: LeftOut) -> str | None:
    """Return the id that a completion of our own class was given; None where it has none, or no UUID.

    Other objects may have an `event_id` that means something else.
    """
    own = event._event if type(event) is Overlaid else event
    if type(own) is not EvolutionCompletionEvent or own.event_id is None:
        return None
    given = text_of(own.event_id)
    try:
        return given if is_uuid(given) and given.islower() else str(UUID(given))
    except ValueError:
        left_out.add("event_id", own.event_id, "is not a UUID; a new one is used")
        return None


def metadata_of(event: object) -> object:
    """Return an event's metadata, None where it has none or the access raises."""
    try:
        return getattr(event, "metadata", None)
    except Exception:
        return None


def dictionary_of(event: object) -> object:
    """Return the mapping of an event that has `to_dict` instead of attributes; None for others."""
    try:
        if getattr(event, "agent_id", None) is None and callable(to_dict := getattr(event, "to_dict", None)):
            return found if isinstance(found := to_dict(), Mapping) else None
    except Exception:
        return None
    return None


def is_mapping(event: object) -> bool:
    """Return whether an event is a mapping; False where asking raises."""
    try:
        return isinstance(event, Mapping)
    except Exception:
        return False


def from_mapping(event: Any) -> SimpleNamespace:
    """Return a mapping's entries as attributes; entries that no event has become metadata."""
    known: dict[str, Any] = {}
    others: dict[str, Any] = {}
    try:
        for key in event:
            name = text_of(key)
            (known if name in ATTRIBUTES else others)[name] = event[key]
    except Exception as error:
        others["error"] = f"reading the event raised {type(error).__name__}"
    metadata = known.get("metadata")
    if others and (metadata is None or type(metadata) is dict):
        known["metadata"] = {**others, **(metadata or {})}
    return SimpleNamespace(**known)


def with_more(metadata: object, more: Mapping[str, object]) -> object:
    """Return metadata with further keywords, whose values are converted later."""
    if not more:
        return metadata
    return (
        {**metadata, **more} if isinstance(metadata, dict) else dict(more) if metadata is None else metadata
    )
