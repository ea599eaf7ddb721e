"""A datum read field by field: the same as read whole, and how far it goes where it is damaged."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from evometrics.schemas.events import Event, KpiSnapshot
from evometrics.schemas.wire.catalog import newest, readable
from evometrics.schemas.wire.datum import (
    FieldRead,
    UnreadableDatum,
    read_fields,
    read_record,
    write_record,
)
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat
from tests.support.examples import EXAMPLES

WIRE = WireFormat()


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: e.record)
def test_all_fields_are_read_one_after_another(event: Event) -> None:
    value = WIRE.encode(event)
    fields = list(read_fields(*located(value)))
    assert {f.name: f.value for f in fields} == event.to_record()
    assert [f.begin for f in fields] == [10, *(f.end for f in fields[:-1])]
    assert fields[-1].end == len(value)


def test_the_field_that_breaks_is_named_with_its_place() -> None:
    event = EXAMPLES[0]
    value = WIRE.encode(event)
    whole = list(read_fields(*located(value)))
    read: list[FieldRead] = []
    with pytest.raises(UnreadableDatum, match=rf"^node_id, at byte {whole[2].begin}: EOFError"):
        for field in read_fields(*located(value[: whole[2].begin + 3])):
            read.append(field)
    assert read == whole[:2]


def test_a_branch_that_a_nullable_field_does_not_have_reads_as_null() -> None:
    event = next(e for e in EXAMPLES if isinstance(e, KpiSnapshot))
    event = dataclasses.replace(event, confidence_interval=None)
    value = WIRE.encode(event)
    place = next(f.begin for f in read_fields(*located(value)) if f.name == "confidence_interval")
    for branch in (b"\x06", b"\x01", b"\x03", b"\x7f", b"\xff\x7f", b"\x80\x80\x04", b"\xff" * 9 + b"\x01"):
        odd = value[:place] + branch + value[place + 1 :]
        assert WIRE.decode(odd) == event
        with pytest.raises(UnreadableMessage, match="1 trailing bytes"):
            WIRE.decode(odd + b"\0")
        with pytest.raises(UnreadableMessage, match="EOFError"):
            WIRE.decode(odd[:-1])


def test_a_branch_that_is_not_there_takes_no_bytes() -> None:
    """As in ClickHouse: what follows it is the next field, even where more could be read as its value."""
    event = next(e for e in EXAMPLES if isinstance(e, KpiSnapshot))
    event = dataclasses.replace(event, reliability=None, security_score=None, bias_score=5e-324)
    value = WIRE.encode(event)
    fields = {f.name: f for f in read_fields(*located(value))}
    assert [value[fields[name].begin] for name in ("reliability", "security_score")] == [0, 0]
    odd = bytearray(value)
    odd[fields["reliability"].begin] = 1
    assert WIRE.decode(bytes(odd)) == event


def located(value: bytes) -> tuple[Any, bytes, int]:
    schema, start = WIRE.locate(value)
    return schema, value, start


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: e.record)
def test_a_record_that_is_written_reads_as_it_was(event: Event) -> None:
    schema = newest(event.record)
    value = write_record(schema, event.to_record())
    assert read_record(schema, value, 0) == event.to_record()
    assert read_record(schema, b"head" + value, 4) == event.to_record()


def test_a_branch_is_one_of_those_that_there_are_or_null() -> None:
    kind = readable(["null", "double"])
    assert [kind[number] for number in (-1, 0, 1, 2)] == ["null", "null", "double", "null"]
    kind = readable(["double", "null"])
    assert [kind[number] for number in (-1, 0, 1, 2)] == ["null", "double", "null", "null"]
    for other in (["double", "long"], "double"):
        assert readable(other) is other
