"""Every event survives the wire, in both framings; what is not an event is refused with its reason."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evometrics.schemas.events import EVENT_CLASSES, Event, field_names
from evometrics.schemas.topics import TOPICS
from evometrics.schemas.wire.catalog import released
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat
from evometrics.schemas.wire.registry import RegistryClient, RegistryUnavailable
from tests.support.examples import EXAMPLES


def test_there_is_an_example_of_every_record() -> None:
    assert {type(e) for e in EXAMPLES} == set(EVENT_CLASSES.values()), "tests/support/examples.py"
    assert {t.record for t in TOPICS} == set(EVENT_CLASSES)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: e.record)
def test_an_example_has_a_value_in_every_field(event: Event) -> None:
    fields = dataclasses.fields(event)
    same = {f.name for f in fields if f.default is not False and getattr(event, f.name) == default_of(f)}
    same.discard("unmeasured")  # a figure named there would have no value
    assert not same, f"tests/support/examples.py: {event.record} has the default of {', '.join(same)}"


def default_of(field: dataclasses.Field[Any]) -> object:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: e.record)
def test_an_event_survives_single_object_framing(event: Event) -> None:
    wire = WireFormat()
    value = wire.encode(event)
    assert value[:2] == b"\xc3\x01"
    assert wire.decode(value) == event


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: e.record)
def test_a_stock_avro_reader_needs_the_avsc_file_only(event: Event) -> None:
    value = WireFormat().encode(event)
    version = released()[event.record][-1].version
    file = Path(__file__).parents[3] / "schemas" / "avro" / event.record / f"v{version}.avsc"
    schema = fastavro.parse_schema(json.loads(file.read_text()))
    found = fastavro.schemaless_reader(io.BytesIO(value[10:]), schema, None)
    assert str(found["event_id"]) == event.event_id
    assert found["agent_id"] == event.agent_id
    assert round(found["occurred_at"].timestamp() * 1_000_000) == event.occurred_at


def test_a_registry_that_is_away_is_not_the_messages_fault() -> None:
    with pytest.raises(RegistryUnavailable, match=r"127\.0\.0\.1:9"):
        WireFormat(RegistryClient("http://127.0.0.1:9")).decode(b"\x00\x00\x00\x00\x07abc")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value"),
        (b"", "empty"),
        (b"hello", "unknown framing"),
        (b"\xc3\x01" + bytes(8) + b"x", "unknown schema fingerprint"),
        (b"\x00\x00\x00\x00\x01x", "no schema registry"),
    ],
)
def test_what_is_no_event_is_refused_with_its_reason(value: bytes | None, reason: str) -> None:
    with pytest.raises(UnreadableMessage, match=reason):
        WireFormat().decode(value)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: e.record)
def test_a_truncated_or_overlong_message_is_unreadable(event: Event) -> None:
    value = WireFormat().encode(event)
    for broken in (value[:-1], value[:12], value + b"\x00"):
        with pytest.raises(UnreadableMessage):
            WireFormat().decode(broken)


@given(st.sampled_from(EXAMPLES), st.data())
def test_mutated_bytes_are_read_or_refused_and_never_anything_else(event: Event, data: st.DataObject) -> None:
    value = bytearray(WireFormat().encode(event))
    place = data.draw(st.integers(10, len(value) - 1))
    value[place] = data.draw(st.integers(0, 255))
    try:
        WireFormat().decode(bytes(value))
    except UnreadableMessage as error:
        assert event.record in str(error)


def test_event_classes_and_avro_records_have_the_same_fields() -> None:
    for record, versions in released().items():
        names = tuple(field["name"] for field in versions[-1].source["fields"])
        assert set(names) == set(field_names(EVENT_CLASSES[record])), record


def test_every_record_and_field_is_documented() -> None:
    for versions in released().values():
        for schema in versions:
            assert schema.source["doc"]
            for field in schema.source["fields"]:
                assert len(field["doc"]) > 10, (schema.record, field["name"])
