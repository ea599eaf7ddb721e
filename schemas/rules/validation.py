"""Checks an event before it is recorded, so that what is stored can be read and computed with."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.events import (
    CustomMetric,
    Event,
    EvolutionCompleted,
    EvolutionProgressed,
    EvolutionStarted,
    KpiSnapshot,
    SystemEvent,
    field_names,
    now_micros,
)
from evometrics.schemas.kpis.performance import DIRECTIONS

#: A message above this is refused before it reaches the outbox; Kafka's own default limit is 1 MiB.
MAX_EVENT_BYTES = 1_000_000
MAX_AHEAD_MICROS = 86_400 * 1_000_000
SUCCEEDED, FAILED, ROLLED_BACK = "succeeded", "failed", "rolled_back"
#: The evaluation was stopped early; the candidate was refused before a full evaluation.
PRUNED, REJECTED = "pruned", "rejected"
STATUSES = frozenset({SUCCEEDED, FAILED, ROLLED_BACK, PRUNED, REJECTED})
METRIC_KINDS = frozenset({"counter", "gauge", "histogram", "summary"})
PRE, POST = "pre_evolution", "post_evolution"
#: Phases of an agent's KPIs that an evolution's events may contain.
EVOLUTION_PHASES = frozenset({PRE, POST})
PHASES = EVOLUTION_PHASES | {"baseline", "continuous"}
INT64 = 2**63
#: Fields that others are grouped and keyed by, and their maximum number of characters: a derived message
#: holds some of them several times.
NAME_FIELDS = frozenset(
    {
        "agent_id",
        "node_id",
        "evolution_id",
        "evolution_type",
        "strategy",
        "strategy_used",
        "risk_level",
        "event_type",
        "parent_agent_id",
        "name",
        "run_id",
        "model",
        "objective",
    }
)
NAME_CHARACTERS = 1000
#: Names that may be null.
OPTIONAL_NAMES = frozenset({"evolution_id", "parent_agent_id", "run_id", "model", "objective"})
TEXT_FIELDS = (NAME_FIELDS | {"data", "unit", "help"}) - OPTIONAL_NAMES
HASH_TEXT = re.compile(r"[0-9a-f]{64}")
UUID_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
TEXT_MAPS = frozenset({"metadata", "labels"})
#: Lists of texts; those of names have a name's limits for each.
NAME_LISTS = frozenset({"parent_agent_ids"})
TEXT_LISTS = NAME_LISTS | {"insights", "unmeasured", "snapshot_phases"}
#: Whole numbers that can't be below 0, where they are given.
COUNTS = (
    *("error_count", "warning_count", "convergence_iterations", "network_bytes_transferred"),
    *("tokens_in", "tokens_out", "evaluations", "front_size"),
)
TIME_FIELDS = frozenset({"occurred_at", "started_at"})
#: Called with a field and a reason; raises `InvalidEvent`.
Fail: TypeAlias = Callable[[str, str], None]


@dataclass
class InvalidEvent(EvometricsError, ValueError):
    """An event that must not be recorded.

    Attributes:
        record: the event's record, e.g. `evolution_completed`.
        field: the field at fault, with the key for a map (`post_kpis[accuracy]`).
        reason: what is wrong with it and what would be right.
    """

    record: str
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.record}.{self.field}: {self.reason}"


def validate(event: Event, now: int | None = None) -> None:
    """Raise `InvalidEvent` naming the first field that can't be recorded; `now` in microseconds."""

    def fail(field: str, reason: str) -> None:
        raise InvalidEvent(event.record, field, reason)

    if not isinstance(event, SystemEvent | CustomMetric) and not event.agent_id:
        fail("agent_id", "is empty; give the agent's id")
    if not event.node_id:
        fail("node_id", "is empty; give the node's id")
    if not is_uuid(event.event_id):
        fail("event_id", f"{event.event_id!r} is not a UUID of 36 characters")
    latest = (now_micros() if now is None else now) + MAX_AHEAD_MICROS
    for name in field_names(type(event)):
        value = getattr(event, name)
        if name in TEXT_FIELDS and not isinstance(value, str):
            fail(name, f"{value!r} is not text")
        if name in NAME_FIELDS and isinstance(value, str) and len(value) > NAME_CHARACTERS:
            fail(name, f"has {len(value)} characters; at most {NAME_CHARACTERS} can be kept")
        if name in TIME_FIELDS:
            if not isinstance(value, int) or value < 0:
                fail(name, f"{value!r} is not a time in microseconds since 1970")
            elif value > latest:
                fail(name, f"{value} is more than a day ahead of this node's clock")
        elif isinstance(value, dict):
            check_map(fail, name, value, of_text=name in TEXT_MAPS)
        elif isinstance(value, list):
            check_list(fail, name, value)
        elif isinstance(value, float) and not math.isfinite(value):
            fail(name, f"{value} is not finite; leave the KPI out or give a number")
        elif isinstance(value, int) and not -INT64 <= value < INT64:
            fail(name, f"{value} does not fit in 64 bits")
    check_kind(fail, event)


def is_uuid(value: object) -> bool:
    """Return whether a value is a UUID in its usual notation."""
    return isinstance(value, str) and UUID_TEXT.fullmatch(value) is not None


def check_kind(fail: Fail, event: Event) -> None:
    """Check the fields that only some records have."""
    if (
        isinstance(event, EvolutionStarted | EvolutionProgressed | EvolutionCompleted)
        and not event.evolution_id
    ):
        fail("evolution_id", "is empty; give the evolution's id")
    if isinstance(event, EvolutionProgressed | EvolutionCompleted):
        for name in COUNTS:
            count = getattr(event, name, None)
            if count is not None and count < 0:
                fail(name, f"{count} is negative")
    direction = getattr(event, "direction", None)
    if direction is not None and direction not in DIRECTIONS:
        fail("direction", f"{direction!r} is not one of {', '.join(DIRECTIONS)}")
    if isinstance(event, EvolutionStarted | EvolutionCompleted):
        for phase in event.snapshot_phases:
            if phase not in EVOLUTION_PHASES:
                fail("snapshot_phases", f"{phase!r} is not one of {', '.join(sorted(EVOLUTION_PHASES))}")
    if isinstance(event, EvolutionCompleted):
        if event.duration_seconds < 0:
            fail("duration_seconds", f"{event.duration_seconds} is negative")
        if event.status not in STATUSES:
            fail("status", f"{event.status!r} is not one of {', '.join(sorted(STATUSES))}")
        if event.candidate_hash is not None and not HASH_TEXT.fullmatch(event.candidate_hash):
            fail("candidate_hash", f"{event.candidate_hash!r} is not a SHA-256 of 64 hexadecimal digits")
        if event.cost_usd is not None and event.cost_usd < 0:
            fail("cost_usd", f"{event.cost_usd} is negative")
        if event.progress_share is not None and not 0 <= event.progress_share <= 1:
            fail("progress_share", f"{event.progress_share} is not between 0 and 1")
    if isinstance(event, KpiSnapshot):
        if event.phase not in PHASES:
            fail("phase", f"{event.phase!r} is not one of {', '.join(sorted(PHASES))}")
        if event.source_event_id is not None and not is_uuid(event.source_event_id):
            fail("source_event_id", f"{event.source_event_id!r} is not a UUID of 36 characters")
    if isinstance(event, CustomMetric):
        if not event.name:
            fail("name", "is empty; name the metric")
        if event.kind not in METRIC_KINDS:
            fail("kind", f"{event.kind!r} is not one of {', '.join(sorted(METRIC_KINDS))}")
    if isinstance(event, SystemEvent) and not event.event_type:
        fail("event_type", "is empty; name the kind of event")


def check_map(fail: Fail, name: str, value: Mapping[str, object], *, of_text: bool) -> None:
    """Check a map's names and values: text to text, or text to finite numbers."""
    for key, item in value.items():
        if not isinstance(key, str):
            fail(f"{name}[{key!r}]", "the name is not text")
        if of_text:
            if not isinstance(item, str):
                fail(f"{name}[{key}]", f"{item!r} is not text")
        elif isinstance(item, bool) or not isinstance(item, int | float) or not math.isfinite(item):
            fail(f"{name}[{key}]", f"{item!r} is not a finite number; leave the KPI out or give a number")


def check_list(fail: Fail, name: str, value: Iterable[object]) -> None:
    """Check a list: of texts or names (`TEXT_LISTS`), or of finite numbers."""
    for position, item in enumerate(value):
        if name in TEXT_LISTS:
            if not isinstance(item, str):
                fail(f"{name}[{position}]", f"{item!r} is not text")
            elif name in NAME_LISTS and not 0 < len(item) <= NAME_CHARACTERS:
                fail(f"{name}[{position}]", f"has {len(item)} characters; a name has 1 to {NAME_CHARACTERS}")
        elif isinstance(item, bool) or not isinstance(item, int | float) or not math.isfinite(item):
            fail(f"{name}[{position}]", f"{item!r} is not a finite number")
