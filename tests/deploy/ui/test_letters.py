"""Dead letters on the pages: shown with their bytes, sent again after a question, for their own form only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import FormData, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from evometrics.deploy.pipeline.topics import create_topics
from evometrics.deploy.ui.server import application
from evometrics.deploy.ui.upstream import Upstream
from evometrics.schemas.events import DeadLetter, KpiSnapshot, now_micros
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.filled import filled_database
from tests.support.sinks import WIRE, Kafka, common, running

Client = TestClient[web.Request, web.Application]

MARKUP = "<script>alert('out')</script>"
GOOD = KpiSnapshot(**common("agent-1"), accuracy=0.25)
#: An address at which nothing listens: who is refused never gets as far as that.
NOWHERE = KafkaSettings(brokers="127.0.0.1:9")


def letter(offset: int, value: bytes | None, **fields: object) -> DeadLetter:
    values = {
        **common("agent-1"),
        "source_topic": "evometrics.kpi.snapshots",
        "source_partition": 0,
        "source_offset": offset,
        "stage": "sink",
        "reason": f"unknown {MARKUP}",
        "message_key": b"agent-1",
        "message_value": value,
        "occurred_at": now_micros() - 60_000_000 + offset,
    }
    return DeadLetter(**{**values, **fields})  # type: ignore[arg-type]


READABLE = letter(5, WIRE.encode(GOOD))
RUBBISH = letter(6, f"{MARKUP}\0".encode() * 200, agent_id=MARKUP, message_key=MARKUP.encode())
CUT = letter(7, b"x" * 100, reason="too large (the first 100 of its 2000000 bytes are kept here)")


@pytest.fixture(scope="module")
def filled(migrated: ClickHouseSettings) -> Iterator[ClickHouseSettings]:
    with filled_database(migrated, "letters_of_the_ui", (READABLE, RUBBISH, CUT)) as settings:
        yield settings


@pytest.fixture
def broker(kafka: str) -> Kafka:
    settings = KafkaSettings(brokers=kafka)
    asyncio.run(create_topics(settings))
    own = Kafka(settings)
    asyncio.run(own.start_group_at_end())
    return own


@pytest.fixture
async def query(filled: ClickHouseSettings) -> AsyncIterator[MetricsQuery]:
    async with MetricsQuery(filled) as found:
        yield found


@pytest.fixture
async def client(query: MetricsQuery) -> AsyncIterator[Client]:
    """Pages whose forms are answered, without a Kafka that would take anything."""
    async with TestClient(TestServer(application(query, upstream=Upstream(NOWHERE)))) as found:
        yield found


async def text(client: Client, path: str, status: int = 200) -> str:
    async with client.get(URL(path, encoded=True)) as answer:
        body = await answer.text()
        assert answer.status == status, body
    return body


def form_of(html: str) -> list[tuple[str, str]]:
    """Return the fields of a page's form that sends something."""
    (form,) = re.findall(r'<form method="post" action="/retry">(.*?)</form>', html, re.S)
    return re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form)


async def test_a_message_is_shown_with_its_bytes(client: Client) -> None:
    listed = await text(client, "/pipeline")
    assert f'href="/letter?id={RUBBISH.event_id}"' in listed
    shown = await text(client, f"/letter?id={RUBBISH.event_id}")
    assert "00000000  3c 73 63 72 69 70 74 3e" in shown and "1,904 more bytes are in the file" in shown
    assert MARKUP not in listed + shown
    async with client.get("/letter/value", params={"id": RUBBISH.event_id}) as answer:
        assert await answer.read() == RUBBISH.message_value
        assert answer.content_type == "application/octet-stream"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{RUBBISH.event_id}.bin"'
    shown = await text(client, f"/letter?id={READABLE.event_id}")
    assert "This version reads it" in shown and "<td>accuracy</td><td>0.25</td>" in shown
    assert "kpi_snapshot v" in shown


async def test_a_message_that_is_cut_can_be_seen_and_not_be_sent(client: Client) -> None:
    shown = await text(client, f"/letter?id={CUT.event_id}")
    assert "100 bytes, the first of 2,000,000" in shown
    assert "only 100 of its 2000000 bytes are" in shown and f"/retry?id={CUT.event_id}" not in shown
    asked = await text(client, f"/retry?id={CUT.event_id}")
    assert "1 message would be left" in asked and '<form method="post"' not in asked


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/letter", 400, "no id of a dead letter"),
        (f"/letter?id={MARKUP}", 400, "no id of a dead letter"),
        ("/letter?id=00000000-0000-0000-0000-000000000000", 404, "no dead letter 00000000"),
        ("/retry?id=00000000-0000-0000-0000-000000000000", 404, "no dead letter 00000000"),
        ("/retry?topic=elsewhere", 400, "topic=&#39;elsewhere&#39;: give one of"),
        ("/retried?result=other", 404, "this result is not kept any more"),
    ],
)
async def test_what_does_not_exist_is_named(client: Client, path: str, status: int, words: str) -> None:
    assert words in await text(client, path, status)


async def test_messages_are_sent_again_once_their_form_is_confirmed(
    broker: Kafka, filled: ClickHouseSettings, query: MetricsQuery
) -> None:
    async with (
        running(broker, filled),
        TestClient(TestServer(application(query, upstream=Upstream(broker.settings)))) as client,
    ):
        assert '<a href="/retry">Send open messages again' in await text(client, "/pipeline")
        asked = await text(client, "/retry?topic=evometrics.kpi.snapshots")
        assert "1 message would be sent to Kafka at" in asked and "2 messages would be left" in asked
        assert f"/letter?id={READABLE.event_id}" in asked
        form = form_of(asked)
        assert ("topic", "evometrics.kpi.snapshots") in form
        async with client.post("/retry", data=FormData(form), headers={"Origin": own(client)}) as answer:
            done = await answer.text()
            assert answer.status == 200 and answer.history[0].status == 303, done
        assert "<h1>1 message sent again</h1>" in done and "still bad" in done
        assert "not stored the record" not in done
        shown = await text(client, f"/letter?id={READABLE.event_id}")
        assert "<dd>retried</dd>" in shown and "<td>ui-" in shown
        ((accuracy,),) = await query.sql("SELECT accuracy FROM kpi_snapshots")
        assert accuracy == 0.25
        assert "1 message would be sent" not in await text(client, "/retry")
        again = form_of(await text(client, f"/retry?id={READABLE.event_id}"))
        assert ("id", READABLE.event_id) in again
        assert await text(client, str(answer.url.path_qs)) == done  # loading it again sends nothing
    assert (
        len(list(await query.sql("SELECT 1 FROM system_events WHERE event_type = 'dead_letter_retried'")))
        == 1
    )


async def test_a_broker_that_does_not_answer_is_named_in_the_result(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evometrics.sinks.letters.retry.CONNECT_SECONDS", 0.5)
    form = form_of(await text(client, f"/retry?id={RUBBISH.event_id}"))
    async with client.post("/retry", data=FormData(form)) as answer:
        done = await answer.text()
    assert "<h1>0 messages sent again</h1>" in done and "127.0.0.1:9" in done


def own(client: Client) -> str:
    """Return the origin of the pages."""
    return str(client.make_url("/")).rstrip("/")


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"token": None}, {}),
        ({"token": ""}, {}),
        ({"token": "é" * 43}, {}),
        ({"token": "0" * 43}, {}),
        ({}, {"Origin": "http://evil.example"}),
        ({}, {"Origin": "null"}),
        ({}, {"Origin": "http://127.0.0.1:1"}),
        ({}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
        ({}, {"Content-Type": "text/plain"}),
        ({}, {"Host": "evil.example"}),
    ],
)
async def test_a_form_that_is_not_of_these_pages_is_refused(
    client: Client, fields: dict[str, str | None], headers: dict[str, str]
) -> None:
    form = dict(form_of(await text(client, f"/retry?id={READABLE.event_id}"))) | fields
    data = FormData([(name, value) for name, value in form.items() if value is not None])
    async with client.post("/retry", data=data, headers=headers, allow_redirects=False) as answer:
        assert answer.status == (421 if "Host" in headers else 403)
        assert "Content-Security-Policy" in answer.headers


async def test_another_servers_token_is_refused(client: Client, query: MetricsQuery) -> None:
    async with TestClient(TestServer(application(query, upstream=Upstream(NOWHERE)))) as other:
        form = form_of(await text(other, f"/retry?id={READABLE.event_id}"))
    async with client.post("/retry", data=FormData(form)) as answer:
        assert answer.status == 403
        assert "Nothing was sent" in await answer.text()


async def test_without_a_kafka_the_pages_only_read(query: MetricsQuery) -> None:
    async with TestClient(TestServer(application(query))) as client:
        for path in ("/pipeline", f"/letter?id={READABLE.event_id}"):
            shown = await text(client, path)
            assert "/retry" not in shown and '<form method="post"' not in shown
        await text(client, f"/retry?id={READABLE.event_id}", 404)
        async with client.post("/retry", data={"id": READABLE.event_id}) as answer:
            assert answer.status == 405
