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

from evometrics.schemas import codec
from evometrics.schemas.binary import UNUSUAL, write_long
from evometrics.schemas.catalog import newest
from evometrics.schemas.datum import UnreadableDatum, read_record
from evometrics.schemas.events import EVENT_CLASSES, Event
from evometrics.schemas.ids import DERIVED_NAMESPACE, derived_id
from evometrics.schemas.wire import WireFormat
from tests.generator import Load, generate
from tests.schemas.examples import EXAMPLES, NOW

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
    return codec.codec_of(record).read(value, 0)


@pytest.mark.parametrize("event", [*EXAMPLES, *GENERATED[:60]], ids=lambda e: e.record)
def test_an_event_is_written_and_read_as_by_fastavro(event: Event) -> None:
    written = codec.codec_of(event.record).write(b"", event)
    assert read(event.record, written) == event
    known = by_fastavro(event)
    assert written == known
    assert read(event.record, known) == event == read_by_fastavro(event.record, known)


def test_every_record_has_a_codec() -> None:
    for record in EVENT_CLASSES:
        assert codec.codec_of(record)


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
