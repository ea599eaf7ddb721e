"""Makes an event that is too large fit: its largest fields are thinned or truncated, and that is noted.

A trajectory keeps its first, last and best points, a map its first entries, a list its first items, a text
its beginning. Ids and names are bounded already, so every event can be made to fit.
"""

from __future__ import annotations

from typing import Any

from evometrics.producers.events.left_out import LeftOut
from evometrics.producers.events.trajectory import FIELD as TRAJECTORY
from evometrics.producers.events.trajectory import thinned
from evometrics.schemas.events import Event, field_names

#: Most bytes of a number, and of a text besides its own bytes; for estimates.
NUMBER, LENGTH = 8, 4
#: A field is reduced to this share of its target, because the sizes are only estimates.
SHARE = 0.95
MARK = " […]"


def shrink(event: Event, excess: int, left_out: LeftOut) -> bool:
    """Shrink the event's largest field by at least `excess` bytes; False where it can't be reduced."""
    sizes = {name: size_of(getattr(event, name)) for name in field_names(type(event))}
    name = max(sizes, key=sizes.__getitem__)
    value, target = getattr(event, name), int(SHARE * (sizes[name] - excess))
    target = max(target, sizes[name] // 16)
    smaller = cut(name, value, max(target, 64))
    if size_of(smaller) >= sizes[name]:
        return False
    setattr(event, name, smaller)
    left_out.add(name, f"{amount(value)}", f"too large for an event; {amount(smaller)} are kept")
    return True


def size_of(value: Any) -> int:
    """Return roughly how many bytes a value takes in an event."""
    if isinstance(value, str):
        return len(value.encode()) + LENGTH
    if isinstance(value, dict):
        return sum(len(name.encode()) + LENGTH + size_of(item) for name, item in value.items())
    if isinstance(value, list):
        return NUMBER * len(value) if value and isinstance(value[0], float) else sum(map(size_of, value))
    return NUMBER


def amount(value: Any) -> str:
    """Return the size of a value, in words."""
    return f"{len(value)} {'characters' if isinstance(value, str) else 'entries'}"


def cut(name: str, value: Any, target: int) -> Any:
    """Return the part of a value that takes about `target` bytes."""
    if isinstance(value, str):
        raw = value.encode()
        return raw[: max(0, target - len(MARK.encode()) - LENGTH)].decode(errors="ignore") + MARK
    if name == TRAJECTORY:
        return thinned(value, max(3, target // NUMBER))
    if isinstance(value, dict):
        return dict(entries_within(list(value.items()), target))
    if isinstance(value, list):
        return [item for _, item in entries_within([("", item) for item in value], target)]
    return value


def entries_within(entries: list[tuple[str, Any]], target: int) -> list[tuple[str, Any]]:
    """Return the first entries that fit; a text that does not is truncated, since it may be the only one."""
    kept: list[tuple[str, Any]] = []
    room = target
    for name, item in entries:
        size = len(name.encode()) + LENGTH + size_of(item)
        if size > room:
            left = room - len(name.encode()) - 2 * LENGTH
            if isinstance(item, str) and left > len(MARK.encode()):
                kept.append((name, cut("", item, left)))
            break
        kept.append((name, item))
        room -= size
    return kept
