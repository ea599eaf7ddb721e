"""With a schema registry a message gets its id on the way to the broker; recording never waits for one."""

from __future__ import annotations

import json

import pytest

from evometrics.producers.events.encoder import Encoder
from evometrics.producers.events.left_out import LeftOut
from evometrics.producers.outbox.row import Row
from evometrics.producers.publisher.framing import Framing
from evometrics.schemas.topics import SYSTEM_EVENTS
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat
from evometrics.schemas.wire.registry import RegistryClient, RegistryUnavailable


def row(text: str) -> Row:
    encoder = Encoder("node")
    event = encoder.system_event("note", {"text": text}, LeftOut())
    return Row(1, SYSTEM_EVENTS.name, "node", encoder.encode(event, LeftOut()))


async def framed(framing: Framing, row: Row) -> bytes:
    await framing.learn(row)
    return framing.value(row)


async def test_a_message_carries_its_registry_id_and_is_read_back(registry_url: str) -> None:
    client = RegistryClient(registry_url)
    framing = Framing(client)
    values = [await framed(framing, row(text)) for text in ("one", "two")]
    number = client.register(SYSTEM_EVENTS.subject, newest(SYSTEM_EVENTS.record).source)
    assert all(value[:5] == b"\0" + number.to_bytes(4, "big") for value in values)
    texts = [json.loads(getattr(WireFormat(client).decode(value), "data"))["text"] for value in values]  # noqa: B009
    assert texts == ["one", "two"]


async def test_without_a_registry_a_message_is_sent_as_it_was_recorded() -> None:
    recorded = row("one")
    assert await framed(Framing(None), recorded) == recorded.value


async def test_a_registry_that_is_away_is_named() -> None:
    with pytest.raises(RegistryUnavailable, match=r"http://127\.0\.0\.1:1"):
        await framed(Framing(RegistryClient("http://127.0.0.1:1")), row("one"))


async def test_a_schema_of_a_newer_version_is_named() -> None:
    unknown = Row(1, SYSTEM_EVENTS.name, "node", b"\xc3\x01" + bytes(8) + b"rest")
    with pytest.raises(UnreadableMessage, match="fingerprint"):
        await framed(Framing(RegistryClient("http://127.0.0.1:1")), unknown)
