"""A real registry: ids, what it and we refuse, what is asked for once, and what happens during its outage."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from evometrics.schemas.events import Event
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.schemas.topics import KPI_SNAPSHOTS, Topic
from evometrics.schemas.wire.catalog import newest, writer_schema
from evometrics.schemas.wire.compatibility import IncompatibleSchema
from evometrics.schemas.wire.datum import write_record
from evometrics.schemas.wire.framing import UnreadableMessage, WireFormat, open_wire
from evometrics.schemas.wire.registry import RegistryClient, RegistryUnavailable
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.sinks.worker.worker import run_sink
from tests.support.changed_schemas import optional, with_fields, without
from tests.support.examples import EXAMPLES
from tests.support.registry.server import NEWEST, RegistryServer

RECORD = "evolution_progressed"
CURRENT = newest(RECORD).source
NEWER = with_fields(RECORD, optional("loss", "double"))
BROKEN = with_fields(RECORD, {"name": "fitness", "type": "string", "doc": "as text"})
EVENT = next(e for e in EXAMPLES if e.record == RECORD)


class Counting(RegistryClient):
    """A client that notes its requests."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.requests: list[str] = []

    def call(self, path: str, *more: Any) -> dict[str, Any] | None:
        self.requests.append(path)
        return super().call(path, *more)


@pytest.fixture(scope="module", params=["older", "newest"])
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryServer]:
    """The registry of all tests, then one of the newest line: they store, compare and refuse differently."""
    if request.param == "older":
        yield request.getfixturevalue("registry_server")
        return
    server = RegistryServer(tmp_path_factory.mktemp("newest"), NEWEST)
    asyncio.run(server.start())
    yield server
    asyncio.run(server.stop())


@pytest.fixture(scope="module")
def registry_url(registry: RegistryServer) -> str:
    return registry.url


@pytest.fixture
def client(registry_url: str) -> Counting:
    return Counting(registry_url)


@pytest.fixture
def subject() -> str:
    """A subject of the test's own."""
    return f"{uuid.uuid4().hex}-value"


@pytest.fixture
def own_subjects(monkeypatch: pytest.MonkeyPatch, subject: str) -> str:
    """All topics' subjects with a beginning of the test's own, which is returned."""
    monkeypatch.setattr(Topic, "subject", property(lambda topic: f"{subject}-{topic.name}"))
    return subject


def message(number: int, source: dict[str, Any], event: Event, **more: Any) -> bytes:
    """Return an event's message as a producer of that schema sends it."""
    schema = writer_schema(event.record, 0, source)
    return b"\0" + number.to_bytes(4, "big") + write_record(schema, {**event.to_record(), **more})


def test_a_schema_has_one_id_however_often_it_is_registered(client: Counting, subject: str) -> None:
    first = client.register(subject, CURRENT)
    second = client.register(subject, NEWER)
    assert first != second
    assert (client.register(subject, CURRENT), client.register(subject, NEWER)) == (first, second)
    assert client.schema(second).source == NEWER
    assert client.call(f"/subjects/{subject}/versions") == [1, 2]


def test_many_parts_that_start_at_once_get_their_ids(registry_url: str) -> None:

    def register(subject: str, number: int) -> tuple[int, int]:
        return number % 2, RegistryClient(registry_url).register(subject, (CURRENT, NEWER)[number % 2])

    for _ in range(2):
        with ThreadPoolExecutor(12) as pool:
            found = set(pool.map(register, [f"{uuid.uuid4().hex}-value"] * 12, range(12)))
        assert [version for version, _ in sorted(found)] == [0, 1]
        assert len({number for _, number in found}) == 2


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


def test_a_subject_takes_only_fully_compatible_versions_from_its_first_on(
    client: Counting, subject: str
) -> None:
    client.register(subject, CURRENT)
    assert client.call(f"/config/{subject}") == {"compatibilityLevel": "FULL_TRANSITIVE"}
    with pytest.raises(
        IncompatibleSchema, match=rf"{subject}/versions rejects the schema: .*409.*add a version"
    ):
        client.call(f"/subjects/{subject}/versions", {"schema": json.dumps(BROKEN)})


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (BROKEN, "fitness: type changed from double to string; add a new field"),
        (without(RECORD, "fitness"), "fitness: removed, .* keep the field"),
        (with_fields(RECORD, {"name": "loss", "type": "double"}), "loss: added without a default; give it"),
    ],
)
def test_an_incompatible_schema_is_refused_by_record_field_and_reason(
    client: Counting, subject: str, source: dict[str, Any], reason: str
) -> None:
    client.register(subject, CURRENT)
    with pytest.raises(IncompatibleSchema, match=rf"version 1 of {subject}: EvolutionProgressed\.{reason}"):
        client.register(subject, source)
    assert client.call(f"/subjects/{subject}/versions") == [1]


async def test_a_part_does_not_start_where_the_registry_has_what_its_schemas_break(
    client: Counting, own_subjects: str, registry_url: str
) -> None:
    foreign = with_fields("kpi_snapshot", {"name": "phase", "type": "long", "doc": "of something else"})
    client.register(KPI_SNAPSHOTS.subject, foreign)
    kafka = KafkaSettings(brokers="127.0.0.1:1", registry_url=registry_url)
    named = r"version 1 of .*kpi.snapshots: KpiSnapshot\.phase: type changed from long to string"
    with pytest.raises(IncompatibleSchema, match=named):  # as the stream worker starts
        await open_wire(kafka)
    sink = run_sink(kafka, ClickHouseSettings(), SinkSettings(), None, asyncio.Event())
    with pytest.raises(IncompatibleSchema, match=named):
        await asyncio.wait_for(sink, 30)


def test_ids_and_schemas_are_asked_for_once(client: Counting, subject: str) -> None:
    number = client.register(subject, NEWER)
    wire = WireFormat(client)
    client.requests.clear()
    for _ in range(3):
        assert wire.decode(message(number, NEWER, EVENT, loss=0.5)) == EVENT
    assert client.requests == [f"/schemas/ids/{number}"]


def test_an_id_that_the_registry_does_not_know_is_unreadable(client: Counting) -> None:
    with pytest.raises(UnreadableMessage, match="has no /schemas/ids/99999"):
        WireFormat(client).decode(b"\0" + (99999).to_bytes(4, "big") + b"abc")


def test_a_schema_of_the_registry_that_breaks_ours_is_unreadable_by_field(
    client: Counting, subject: str
) -> None:
    number = client.register(subject, BROKEN)
    for _ in range(2):
        with pytest.raises(
            UnreadableMessage, match=rf"id {number} is not compatible with v3: EvolutionProgressed.fitness"
        ):
            WireFormat(client).decode(message(number, BROKEN, EVENT, fitness="0.5"))


def test_what_is_no_record_of_avro_is_unreadable(client: Counting, subject: str) -> None:
    answer = client.call(f"/subjects/{subject}/versions", {"schema": json.dumps({"type": "string"})})
    assert answer is not None
    with pytest.raises(UnreadableMessage, match="is not an Avro record"):
        WireFormat(client).decode(b"\0" + int(answer["id"]).to_bytes(4, "big") + b"abc")


def test_an_address_that_is_no_registrys_is_not_the_messages_fault(registry_url: str) -> None:
    """Else every event would become a dead letter for a typing error in the settings."""
    wire = WireFormat(RegistryClient(registry_url.replace("ccompat/v7", "ccompat/v0")))
    with pytest.raises(RegistryUnavailable, match=r"404.*correct registry_url"):
        wire.decode(message(1, CURRENT, EVENT))
    with pytest.raises(RegistryUnavailable, match=r"404.*correct registry_url"):
        wire.register()


def test_while_the_registry_is_away_what_was_known_is_read_and_the_rest_once_it_is_back(
    registry_server: RegistryServer, subject: str, tmp_path: Path
) -> None:
    client = Counting(registry_server.url)
    known, unknown = client.register(subject, CURRENT), client.register(subject, NEWER)
    wire, written = WireFormat(client), WireFormat(client)
    written.register()
    later = message(unknown, NEWER, EVENT, loss=0.5)
    assert wire.decode(message(known, CURRENT, EVENT)) == EVENT
    asyncio.run(registry_server.stop())
    try:
        assert wire.decode(message(known, CURRENT, EVENT)) == EVENT
        assert wire.decode(written.encode(EVENT)) == EVENT
        with pytest.raises(RegistryUnavailable, match="start it or correct registry_url"):
            wire.decode(later)
    finally:
        asyncio.run(registry_server.start())
    assert wire.decode(later) == EVENT
    assert client.register(subject, NEWER) == unknown
