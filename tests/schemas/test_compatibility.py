"""Released versions are fully compatible, and the check says why one would not be."""

from __future__ import annotations

import copy
import hashlib
import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from evometrics.schemas.wire import catalog
from evometrics.schemas.wire.catalog import newest, released
from evometrics.schemas.wire.compatibility import IncompatibleSchema, check_compatible

HERE = Path(__file__).parent


def changed(**change: Any) -> dict[str, Any]:
    schema = copy.deepcopy(newest("evolution_progressed").source)
    for name, field in change.items():
        schema["fields"] = [f for f in schema["fields"] if f["name"] != name]
        if field is not None:
            schema["fields"].append({"name": name, "doc": "x", **field})
    return schema


OLD = newest("evolution_progressed").source


def test_each_released_version_is_compatible_with_the_one_before() -> None:
    compared = 0
    for versions in released().values():
        for old, new in pairwise(versions):
            check_compatible(old.source, new.source)
            check_compatible(new.source, old.source)
            compared += 1
    assert compared


def test_a_released_schema_file_never_changes() -> None:
    known = dict(reversed(line.split()) for line in (HERE / "released.txt").read_text().splitlines())
    files = {
        f"{file.parent.name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted((HERE.parents[1] / "schemas" / "avro").glob("*/*.avsc"))
    }
    assert files.keys() == known.keys(), "a new version? Add it to tests/schemas/released.txt with its sha256"
    for name, checksum in files.items():
        assert checksum == known[name], f"{name} was released: put it back, make the change in a new version"


def test_no_part_starts_with_a_catalog_that_is_incompatible(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "avro" / "evolution_progressed"
    folder.mkdir(parents=True)
    (folder / "v1.avsc").write_text(json.dumps(OLD))
    (folder / "v2.avsc").write_text(json.dumps(changed(fitness={"type": "string"})))
    monkeypatch.setattr(catalog.resources, "files", lambda _: tmp_path)
    monkeypatch.setattr(catalog, "released", cache(catalog.released.__wrapped__))
    named = r"evolution_progressed/v2.avsc: EvolutionProgressed.fitness: type changed .* add a new field"
    with pytest.raises(IncompatibleSchema, match=named):
        catalog.newest("evolution_progressed")


def test_a_new_optional_field_is_compatible() -> None:
    check_compatible(OLD, changed(note={"type": ["null", "string"], "default": None}))


@pytest.mark.parametrize(
    ("new", "named"),
    [
        (changed(note={"type": "string"}), "evolution_progressed.note|EvolutionProgressed.note: added"),
        (changed(fitness=None), "fitness: removed"),
        (changed(fitness={"type": "float"}), "fitness: type changed"),
        (changed(iteration={"type": "double"}), "iteration: type changed"),
        (
            changed(note={"type": ["string", "null"], "default": None}),
            "note: the default None is not of type string",
        ),
        (changed(note={"type": "long", "default": "x"}), "note: the default 'x' is not of type long"),
        ({**OLD, "name": "Other"}, "renamed"),
    ],
)
def test_a_change_that_would_break_readers_is_refused_by_name(new: dict[str, Any], named: str) -> None:
    with pytest.raises(IncompatibleSchema, match=named):
        check_compatible(OLD, new)
