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

SCHEMAS = Path(__file__).parents[3] / "schemas" / "avro"
KNOWN = Path(__file__).with_name("released.txt")


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
    known = dict(reversed(line.split()) for line in KNOWN.read_text().splitlines())
    files = {
        f"{file.parent.name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(SCHEMAS.glob("*/*.avsc"))
    }
    new = [f"{files[name]}  {name}" for name in files.keys() - known.keys()]
    assert not new, f"a new version? Add to tests/schemas/wire/released.txt: {', '.join(new)}"
    assert files.keys() == known.keys(), "a released schema file is missing: put it back"
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


def of_type(kind: Any) -> dict[str, Any]:
    return {**OLD, "fields": [{"name": "found", "type": kind}]}


ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
FIXED = {"type": "fixed", "name": "F", "size": 8}
RECORD = {"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("long", {"type": "long"}),
        (["null", "double"], ["double", "null"]),
        (ENUM, {**ENUM, "doc": "said anew"}),
        (RECORD, {**RECORD, "fields": [{"name": "x", "type": {"type": "long"}}]}),
        ({"type": "array", "items": "long"}, {"type": "array", "items": {"type": "long"}}),
    ],
)
def test_a_type_written_in_another_way_is_the_same(old: Any, new: Any) -> None:
    check_compatible(of_type(old), of_type(new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["null", "double"], ["null", "long"]),
        (["null", "double"], ["null", "double", "string"]),
        ("double", ["double"]),
        ("long", {"type": "long", "logicalType": "timestamp-micros"}),
        ({"type": "array", "items": "long"}, {"type": "array", "items": "double"}),
        ({"type": "array", "items": "long"}, {"type": "map", "values": "long"}),
        ({"type": "map", "values": "long"}, {"type": "map", "values": ["null", "long"]}),
        (ENUM, {**ENUM, "symbols": ["A", "B", "C"]}),
        (FIXED, {**FIXED, "size": 16}),
        (RECORD, {**RECORD, "fields": [{"name": "x", "type": "int"}]}),
        (RECORD, {**RECORD, "fields": [{"name": "y", "type": "long"}]}),
    ],
)
def test_a_type_that_reads_otherwise_is_refused_both_ways(old: Any, new: Any) -> None:
    for before, after in ((old, new), (new, old)):
        with pytest.raises(IncompatibleSchema, match=r"EvolutionProgressed\.found: type changed"):
            check_compatible(of_type(before), of_type(after))


def test_a_name_in_another_namespace_is_another_name() -> None:
    with pytest.raises(IncompatibleSchema, match=r"renamed to elsewhere\.EvolutionProgressed"):
        check_compatible(OLD, {**OLD, "namespace": "elsewhere"})


def test_a_field_with_a_default_may_go() -> None:
    with_default = changed(note={"type": "string", "default": ""})
    check_compatible(with_default, OLD)


def test_the_default_of_bytes_is_written_as_text() -> None:
    check_compatible(OLD, changed(note={"type": "bytes", "default": "\u00ff"}))
    check_compatible(OLD, changed(note={"type": ["bytes", "null"], "default": ""}))
