"""With a schema registry a message gets its id on the way to the broker; recording never waits for one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from evometrics.producers.encoder import Encoder
from evometrics.producers.framing import Framing
from evometrics.producers.outbox_file import Row
from evometrics.schemas.registry import RegistryClient, RegistryUnavailable
from evometrics.schemas.topics import SYSTEM_EVENTS
from evometrics.schemas.wire import UnreadableMessage, WireFormat


class Registry(HTTPServer):
    """Answers as a registry does: an id for each schema that is registered, the schema for each id."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RegistryHandler)
        self.schemas: list[tuple[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class RegistryHandler(BaseHTTPRequestHandler):
    server: Registry

    def do_POST(self) -> None:
        schema = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["schema"]
        self.server.schemas.append((self.path, schema))
        self.answer({"id": 700 + len(self.server.schemas)})

    def do_GET(self) -> None:
        number = int(self.path.rpartition("/")[2])
        self.answer({"schema": self.server.schemas[number - 701][1]})

    def answer(self, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[Registry]:
    server = Registry()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def row(text: str) -> Row:
    encoder = Encoder("node")
    event = encoder.system_event("note", {"text": text})
    return Row(1, SYSTEM_EVENTS.name, "node", encoder.encode(event))


async def framed(framing: Framing, row: Row) -> bytes:
    await framing.learn(row)
    return framing.value(row)


async def test_a_message_carries_its_registry_id_and_is_read_back(registry: Registry) -> None:
    client = RegistryClient(registry.url)
    framing = Framing(client)
    values = [await framed(framing, row(text)) for text in ("one", "two")]
    assert all(value[:5] == b"\0" + (701).to_bytes(4, "big") for value in values)
    texts = [json.loads(getattr(WireFormat(client).decode(value), "data"))["text"] for value in values]  # noqa: B009
    assert texts == ["one", "two"]
    assert [path for path, _ in registry.schemas] == [f"/subjects/{SYSTEM_EVENTS.subject}/versions"]


async def test_without_a_registry_a_message_is_sent_as_it_was_recorded() -> None:
    recorded = row("one")
    assert await framed(Framing(None), recorded) == recorded.value


async def test_a_registry_that_is_away_is_named() -> None:
    with pytest.raises(RegistryUnavailable, match=r"http://127\.0\.0\.1:1"):
        await framed(Framing(RegistryClient("http://127.0.0.1:1")), row("one"))


async def test_a_schema_of_a_newer_version_is_named(registry: Registry) -> None:
    unknown = Row(1, SYSTEM_EVENTS.name, "node", b"\xc3\x01" + bytes(8) + b"rest")
    with pytest.raises(UnreadableMessage, match="fingerprint"):
        await framed(Framing(RegistryClient(registry.url)), unknown)
