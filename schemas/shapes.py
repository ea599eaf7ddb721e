"""Whether an event that a program has made holds just what Avro would have decoded: the types, the 64 bits.

With `screening` it tells most good events from those that `validate` must look at, at a fraction of its
cost. False means nothing but that it must be asked: a numpy number may be good for all that.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import Any

from evometrics.schemas.events import Event, field_names
from evometrics.schemas.validation import INT64

TEXT = frozenset({str})
FLOAT = frozenset({float})
#: What the members of a container must be: of a map its names and values, of a list its items.
MAPS = {dict[str, float]: FLOAT, dict[str, str]: TEXT}
LISTS = {list[float]: FLOAT, list[str]: TEXT}


@dataclass(frozen=True, slots=True)
class Shape:
    """What the fields of an event class must be.

    Attributes:
        values: returns all fields of an event, in order.
        types: the types that each field may have.
        maps, lists: the places of containers, and what they hold.
        known: types of whole events that were found right; at most one for each choice of null fields.
    """

    values: Callable[[Event], tuple[Any, ...]]
    types: tuple[tuple[type, ...], ...]
    maps: tuple[tuple[int, frozenset[type]], ...]
    lists: tuple[tuple[int, frozenset[type]], ...]
    known: set[tuple[type, ...]] = field(default_factory=set)

    def right(self, types: tuple[type, ...]) -> bool:
        """Tell whether the types of an event's fields are right."""
        if types not in self.known:
            if not all(found in allowed for found, allowed in zip(types, self.types, strict=True)):
                return False
            self.known.add(types)
        return True


@cache
def shape_of(cls: type[Event]) -> Shape:
    """Return the shape of an event class, from its annotations."""
    hints = typing.get_type_hints(cls)
    kinds = [hints[name] for name in field_names(cls)]
    types = []
    for kind in kinds:
        named = typing.get_args(kind) if typing.get_origin(kind) not in (dict, list) else ()
        types.append(tuple(named) or (typing.get_origin(kind) or kind,))
    return Shape(
        attrgetter(*field_names(cls)),
        tuple(types),
        tuple((place, MAPS[kind]) for place, kind in enumerate(kinds) if kind in MAPS),
        tuple((place, LISTS[kind]) for place, kind in enumerate(kinds) if kind in LISTS),
    )


def surely_typed(event: Event) -> bool:
    """Tell whether every field surely holds what Avro would have decoded."""
    kind: Any = type(event)
    shape = shape_of(kind)
    values = shape.values(event)
    if not shape.right(tuple(map(type, values))):
        return False
    for place, members in shape.maps:
        found = values[place]
        if not (TEXT.issuperset(map(type, found)) and members.issuperset(map(type, found.values()))):
            return False
    for place, members in shape.lists:
        if not members.issuperset(map(type, values[place])):
            return False
    whole = [value for value in values if type(value) is int]
    return not whole or (min(whole) >= -INT64 and max(whole) < INT64)
