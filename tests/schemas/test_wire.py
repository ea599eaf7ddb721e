"""Every event survives the wire, in both framings; what is no event is refused with its reason."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evometrics.schemas.catalog import released
from evometrics.schemas.events import EVENT_CLASSES, Event, field_names
from evometrics.schemas.registry import RegistryClient, RegistryUnavailable
from evometrics.schemas.topics import TOPICS
from evometrics.schemas.wire import UnreadableMessage, WireFormat
from tests.schemas.examples import EXAMPLES


class Registry(BaseHTTPRequestHandler):
    """The two calls of Confluent's API that a client needs, over HTTP."""

    schemas: list[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["schema"] not in self.schemas:
            self.schemas.append(body["schema"])
        self.answer(200, {"id": self.schemas.index(body["schema"]) + 1})

    def do_GET(self) -> None:
        number = int(self.path.rsplit("/", 1)[1])
        if 0 < number <= len(self.schemas):
            self.answer(200, {"schema": self.schemas[number - 1]})
        else:
            self.answer(404, {"error_code": 40403})

    def answer(self, status: int, body: dict[str, object]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def registry_url() -> Iterator[str]:
    handler = type("Handler", (Registry,), {"schemas": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_there_is_an_example_of_every_record() -> None:
    assert {type(e) for e in EXAMPLES} == set(EVENT_CLASSES.values())
    assert {t.record for t in TOPICS} == set(EVENT_CLASSES)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: e.record)
def test_an_event_survives_single_object_framing(event: Event) -> None:
    wire = WireFormat()
    value = wire.encode(event)
    assert value[:2] == b"\xc3\x01"
    assert wire.decode(value) == event


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: e.record)
def test_a_stock_avro_reader_needs_the_avsc_file_only(event: Event) -> None:
    value = WireFormat().encode(event)
    file = Path(__file__).parents[2] / "schemas" / "avro" / event.record / "v1.avsc"
    schema = fastavro.parse_schema(json.loads(file.read_text()))
    found = fastavro.schemaless_reader(io.BytesIO(value[10:]), schema, None)
    assert str(found["event_id"]) == event.event_id
    assert found["agent_id"] == event.agent_id
    assert round(found["occurred_at"].timestamp() * 1_000_000) == event.occurred_at


def test_both_framings_are_read_whichever_is_written(registry_url: str) -> None:
    plain, registered = WireFormat(), WireFormat(RegistryClient(registry_url))
    registered.register()
    for event in EXAMPLES:
        value = registered.encode(event)
        assert value[0] == 0
        assert registered.decode(value) == event
        assert registered.decode(plain.encode(event)) == event
        # another process, that has registered nothing, asks the registry for the id
        assert WireFormat(RegistryClient(registry_url)).decode(value) == event


def test_an_id_that_the_registry_does_not_know_is_unreadable(registry_url: str) -> None:
    with pytest.raises(UnreadableMessage, match="ids/7"):
        WireFormat(RegistryClient(registry_url)).decode(b"\x00\x00\x00\x00\x07abc")


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
