"""Released versions are fully compatible, and the check says why one would not be."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest

from evometrics.schemas.catalog import newest, released
from evometrics.schemas.compatibility import IncompatibleSchema, check_compatible


def changed(**change: Any) -> dict[str, Any]:
    schema = copy.deepcopy(newest("evolution_progressed").source)
    for name, field in change.items():
        schema["fields"] = [f for f in schema["fields"] if f["name"] != name]
        if field is not None:
            schema["fields"].append({"name": name, "doc": "x", **field})
    return schema


OLD = newest("evolution_progressed").source


def test_each_released_version_is_compatible_with_the_one_before() -> None:
    for versions in released().values():
        for old, new in pairwise(versions):
            check_compatible(old.source, new.source)


def test_a_new_optional_field_is_compatible() -> None:
    check_compatible(OLD, changed(note={"type": ["null", "string"], "default": None}))


@pytest.mark.parametrize(
    ("new", "named"),
    [
        (changed(note={"type": "string"}), "evolution_progressed.note|EvolutionProgressed.note: added"),
        (changed(fitness=None), "fitness: removed"),
        (changed(fitness={"type": "float"}), "fitness: type changed"),
        (changed(iteration={"type": "double"}), "iteration: type changed"),
        ({**OLD, "name": "Other"}, "renamed"),
    ],
)
def test_a_change_that_would_break_readers_is_refused_by_name(new: dict[str, Any], named: str) -> None:
    with pytest.raises(IncompatibleSchema, match=named):
        check_compatible(OLD, new)
