"""Values of a candidate that follow from what a framework gives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from evometrics.producers.events.values import text_of
from evometrics.schemas.ids import derived_id


def candidate_event_id(framework: str, identity: object) -> str:
    """Return the id of a candidate's event: the same wherever the same candidate is recorded."""
    return derived_id("candidate", framework, text_of(identity))


def lasted(
    started_at: float | datetime | None, ended_at: float | datetime | None, duration: object
) -> object:
    """Return a candidate's duration, where it is known."""
    if duration is not None or started_at is None or ended_at is None:
        return duration
    begin, end = (at.timestamp() if isinstance(at, datetime) else float(at) for at in (started_at, ended_at))
    return max(0.0, end - begin)


def texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return values as text."""
    return {name: text_of(value) for name, value in values.items()}
