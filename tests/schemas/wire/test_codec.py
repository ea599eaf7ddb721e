"""The compiled codecs read and write what fastavro does, or leave it to fastavro."""

from __future__ import annotations

import dataclasses
import io
import random
import uuid
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evometrics.schemas.events import EVENT_CLASSES, Event
from evometrics.schemas.ids import DERIVED_NAMESPACE, derived_id
from evometrics.schemas.wire import codec
from evometrics.schemas.wire.binary import UNUSUAL, write_long
from evometrics.schemas.wire.catalog import WriterSchema, newest, released, writer_schema
from evometrics.schemas.wire.datum import UnreadableDatum, read_record
from evometrics.schemas.wire.framing import WireFormat, decode, decode_exact
from tests.support.examples import EXAMPLES, NOW
from tests.support.generator import Load, generate

WIRE = WireFormat()
GENERATED = [event for _, event in generate(Load(seed=5, begin=NOW, agents=5, evolutions=40, nodes=2))]


def by_fastavro(event: Event) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, newest(event.record).parsed, event.to_record())
    return out.getvalue()


def read_by_fastavro(record: str, value: bytes) -> Any:
    try:
        found = read_record(newest(record), value, 0)
    except UnreadableDatum:
        return None
    return EVENT_CLASSES[record].from_record(found)


def read(record: str, value: bytes) -> Any:
    return codec.newest_codec(record).read(value, 0)


@pytest.mark.parametrize("event", [*EXAMPLES, *GENERATED[:60]], ids=lambda e: e.record)
def test_an_event_is_written_and_read_as_by_fastavro(event: Event) -> None:
    written = codec.newest_codec(event.record).write(b"", event)
    assert read(event.record, written) == event
    known = by_fastavro(event)
    assert written == known
    assert read(event.record, known) == event == read_by_fastavro(event.record, known)


def versions_of(event: Event) -> list[WriterSchema]:
    """All versions but the newest, and one that only a registry knows."""
    known = released()[event.record]
    more = [
        {"name": f"more_{number}", "type": kind, "default": default, "doc": "x"}
        for number, (kind, default) in enumerate(
            [
                (["null", "string"], None),
                ({"type": "map", "values": "double"}, {}),
                ("long", 7),
                ({"type": "array", "items": "string"}, []),
            ]
        )
    ]
    source = {**known[-1].source, "fields": [*more[:2], *known[-1].source["fields"], *more[2:]]}
    return [*known[:-1], writer_schema(event.record, 0, source)]


def written_by(schema: WriterSchema, event: Event) -> bytes:
    """Return an event's datum as that version's writer makes it."""
    more = {"more_0": "ü", "more_1": {"a": 0.5}, "more_2": -3, "more_3": ["x", ""]}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema.parsed, {**event.to_record(), **more})
    return out.getvalue()


@pytest.mark.parametrize("event", [*EXAMPLES, *GENERATED[:60]], ids=lambda e: e.record)
def test_data_of_every_version_is_read_with_the_newest_as_by_fastavro(event: Event) -> None:
    for schema in versions_of(event):
        value = written_by(schema, event)
        found = decode_exact(schema, value, 0)
        assert found is not None
        by_it = read_record(schema, value, 0, newest(event.record).parsed)
        assert found == EVENT_CLASSES[event.record].from_record(by_it)
        names = {field["name"] for field in schema.source["fields"]}
        lost = {name: getattr(found, name) for name in event.to_record() if name not in names}
        assert found == dataclasses.replace(event, **lost)
        assert all(value in (None, [], {}, 0) for value in lost.values()), lost


def test_kinds_that_are_none_of_ours_are_left_to_fastavro() -> None:
    event = EXAMPLES[1]
    for kind, default, value in (
        ("float", 0.0, 1.0),
        (["null", "boolean"], None, True),
        (["null", "string", "long"], None, 3),
        (["null", {"type": "array", "items": "long"}], None, [1]),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "A", "B"),
    ):
        fields = [*newest(event.record).source["fields"], {"name": "odd", "type": kind, "default": default}]
        schema = writer_schema(event.record, 0, {**newest(event.record).source, "fields": fields})
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema.parsed, {**event.to_record(), "odd": value})
        assert codec.codec_of(schema) is None
        assert decode(schema, out.getvalue(), 0) == event


def test_every_record_has_a_codec() -> None:
    for record in EVENT_CLASSES:
        assert codec.newest_codec(record)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: e.record)
def test_damaged_bytes_are_read_as_by_fastavro_or_left_to_it(event: Event) -> None:
    rng = random.Random(event.record)
    good = by_fastavro(event)
    left = same = 0
    for _ in range(3000):
        value = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 4])):
            place = rng.randrange(len(value))
            match rng.randrange(4):
                case 0:
                    value[place] = rng.randrange(256)
                case 1:
                    value[place] ^= 1 << rng.randrange(8)
                case 2:
                    value.insert(place, rng.choice([0, 1, 2, 127, 128, 255]))
                case _:
                    del value[place:]
                    break
            if not value:
                break
        try:
            found = read(event.record, bytes(value))
        except UNUSUAL:
            left += 1
            continue
        same += 1
        # by their texts: a number that is none does not equal itself
        assert repr(found) == repr(read_by_fastavro(event.record, bytes(value)))
    assert left > 100 and same > 100


STRANGE: list[Any] = [None, True, 1, -1, 2**63, 2**40, 1.5, "x", "\ud800", "é" * 600, b"x", [], [1], ["a"]]
STRANGE += [{}, {"a": 1}, {"a": "b"}, {1: 0.5}, {"a": None}, float("nan"), [0.5, 1], ["a", None]]


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: e.record)
def test_strange_values_are_written_as_by_fastavro_or_refused_as_by_it(event: Event) -> None:
    for name in [f.name for f in dataclasses.fields(event)]:
        for value in STRANGE:
            changed = dataclasses.replace(event, **{name: value})
            try:
                known = by_fastavro(changed)
            except Exception as error:
                with pytest.raises(type(error)):
                    WIRE.encode(changed)
            else:
                assert WIRE.encode(changed) == WIRE.prefixes[event.record] + known, (name, value)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.floats(allow_nan=False)))
def test_numbers_of_any_size_are_written_and_read(longs: list[int], doubles: list[float]) -> None:
    completed = next(e for e in EXAMPLES if e.record == "evolution_completed")
    for number in longs:
        event = dataclasses.replace(completed, occurred_at=number, fitness_trajectory=doubles)  # type: ignore[call-arg]
        value = by_fastavro(event)
        assert WIRE.encode(event)[10:] == value
        assert WIRE.decode(WIRE.prefixes[event.record] + value) == event


@given(st.lists(st.one_of(st.text().filter(lambda t: t.isprintable()), st.integers())))
def test_derived_ids_are_uuid5(identity: list[str | int]) -> None:
    wanted = uuid.uuid5(DERIVED_NAMESPACE, "\x1f".join(map(str, identity)))
    assert derived_id(*identity) == str(wanted)


def test_numbers_are_zigzag() -> None:
    assert [write_long(n) for n in (0, 1, 63, 64, 2**40)] == [
        b"\x00",
        b"\x02",
        b"\x7e",
        b"\x80\x01",
        b"\x80\x80\x80\x80\x80\x40",
    ]
