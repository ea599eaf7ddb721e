"""Whatever names and texts hold is text on every page, in charts, links and files, and never markup."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from evometrics.deploy.ui.database import Database
from evometrics.deploy.ui.page import Page
from evometrics.deploy.ui.pages import PAGES
from evometrics.deploy.ui.server import application
from evometrics.deploy.ui.upstream import Upstream
from evometrics.schemas.events import (
    DeadLetter,
    Event,
    EvolutionCompleted,
    EvolutionProgressed,
    KpiSnapshot,
    SystemEvent,
    now_micros,
)
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.sinks.query import MetricsQuery, QueryFailed
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.filled import filled_database

Client = TestClient[web.Request, web.Application]

#: Ends whatever it may stand in: an attribute, an element, a comment, a script, a picture.
EVIL = (
    "javascript:alert(1)//\"'-->]]></script></title></textarea></svg><x-mark onclick=alert(1)>${1}{{7*7}}&lt;"
)
#: Begins a formula of a spreadsheet.
FORMULA = '=HYPERLINK("http://evil.example")'


def name(part: str) -> str:
    """Return a name of its own that is markup."""
    return f"{EVIL}{part}"


def events() -> Iterator[Event]:
    """Yield events whose every text is markup."""
    now = now_micros() - 60_000_000
    for number, status in enumerate(("succeeded", "rolled_back", "failed", "succeeded", "succeeded")):
        completed = EvolutionCompleted(
            event_id=new_event_id(),
            agent_id=name(f"agent-{number}"),
            node_id=name("node"),
            occurred_at=now + number * 1_000_000,
            started_at=now + number * 1_000_000 - 500_000,
            evolution_id=name(f"evolution-{number}"),
            evolution_type=name("type"),
            generation=number,
            strategy_used=name(f"strategy-{number % 2}"),
            trigger_reason=name("reason"),
            status=status,
            success=status == "succeeded",
            pre_kpis={name("kpi"): 0.5, name("other"): 1.0},
            post_kpis={name("kpi"): 0.5 + number / 10, name("other"): 1.0 + number},
            insights=[name("insight"), f"error: {EVIL}", FORMULA],
            metadata={name("key"): name("value"), FORMULA: FORMULA},
            candidate=f"{EVIL}\nline {number}\n{FORMULA}",
            model=name("model"),
            cost_usd=0.5,
            run_id=name("run"),
            objective=name("kpi"),
            direction="maximize",
            parent_agent_id=name("agent-0") if number else None,
            parent_agent_ids=[name("agent-0"), name("agent-1")] if number > 1 else [],
        )
        yield completed
        yield evolution_metrics(completed)
        snapshot: dict[str, Any] = {"phase": "continuous", "overall_performance": number / 10}
        yield KpiSnapshot(**about(now + number, completed), **snapshot, extra={name("kpi"): 2.0})
        yield EvolutionProgressed(
            **about(now + number, completed), evolution_id=name("run"), iteration=number, fitness=0.5
        )
    yield SystemEvent(**about(now, completed), event_type=name("event"), data=f'{{"{EVIL[:19]}": 1}}')
    yield SystemEvent(**about(now, completed), event_type="collector_health", data='{"outbox_depth": 17}')
    yield DeadLetter(
        **about(now, completed),
        source_topic=name("topic"),
        source_partition=0,
        source_offset=1,
        stage="sink",
        reason=name("reason"),
        message_key=EVIL.encode(),
        message_value=EVIL.encode(),
    )


def about(at: int, completed: EvolutionCompleted) -> dict[str, Any]:
    return {
        "event_id": new_event_id(),
        "agent_id": completed.agent_id,
        "node_id": completed.node_id,
        "occurred_at": at,
    }


EVENTS = list(events())
LAST = [event.event_id for event in EVENTS if event.record == "evolution_completed"][-1]
LETTER = EVENTS[-1].event_id
CHOICES: dict[str, dict[str, str]] = {
    "run": {"run": name("run")},
    "agent": {"agent": name("agent-0"), "kpi": "all"},
    "lineage": {"agent": name("agent-0"), "show": "all"},
    "candidate": {"event": LAST},
    "compare": {"what": "strategy_used", "a": name("strategy-0"), "b": name("strategy-1")},
    "pareto": {"run": name("run"), "x": name("kpi"), "y": name("other")},
}


@pytest.fixture(scope="module")
def filled(migrated: ClickHouseSettings) -> Iterator[ClickHouseSettings]:
    with filled_database(migrated, "markup_of_the_ui", EVENTS) as settings:
        yield settings


@pytest.fixture
async def client(filled: ClickHouseSettings) -> AsyncIterator[Client]:
    async with MetricsQuery(filled) as query:
        pages = application(query, upstream=Upstream(KafkaSettings(brokers="127.0.0.1:9")))
        async with TestClient(TestServer(pages)) as found:
            yield found


class Elements(HTMLParser):
    """What a page has of elements and attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.titles: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(key, value or "") for key, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.lasttag == "title":
            self.titles.append(data.strip())


def check(html: str) -> Elements:
    """Fail if something in a page has become an element, an attribute, a link to elsewhere or a script."""
    found = Elements(html)
    assert "x-mark" not in found.tags
    assert not [key for key, _ in found.attributes if key.startswith("on")]
    leading = [value for key, value in found.attributes if key in ("href", "src", "action", "xlink:href")]
    assert all(re.match(r"/(?!/)|#", value) for value in leading), leading
    assert re.findall(r"<script[^>]*>", html) in ([], ['<script src="/static/page.js" defer>'])
    assert EVIL not in html
    assert all(re.fullmatch(r"[\w ?']* – evometrics", title) for title in found.titles if title), found.titles
    return found


async def read(client: Client, path: str, status: int = 200, **choices: str) -> str:
    async with client.get(path, params=choices) as answer:
        body = await answer.text()
        assert answer.status == status, body
    return body


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_on_a_page_and_in_its_charts(client: Client, page: Page) -> None:
    html = await read(client, f"/{page.name}", **CHOICES.get(page.name, {}))
    found = check(html)
    assert 'class="problem"' not in html
    shown = [*found.texts, *(value for _, value in found.attributes)]
    assert any("<x-mark onclick=alert(1)>" in text for text in shown), "it is shown as it is"
    pictures = "".join(re.findall(r"<figure.*?</figure>", html, re.S))
    assert page.name in ("tonight", "compare") or "&lt;x-mark" in pictures, "labels and links have it"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_in_files(client: Client, page: Page) -> None:
    choices = CHOICES.get(page.name, {})
    for section in page.sections(page.state(choices)):
        async with client.get(f"/{page.name}/{section.name}.csv", params=choices) as answer:
            assert answer.content_type == "text/csv"
            wanted = f'attachment; filename="{page.name}-{section.name}.csv"'
            assert answer.headers["Content-Disposition"] == wanted
            header, *rows = list(csv.reader(io.StringIO(await answer.text()))) or [[]]
        assert all(re.fullmatch(r"\w+", cell) for cell in header)
        for cell in (cell for row in rows for cell in row):
            assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r") or float(cell) <= 0, cell


async def test_a_text_is_a_file_of_text(client: Client) -> None:
    for section in ("text", "difference"):
        async with client.get(f"/candidate/{section}.txt", params=CHOICES["candidate"]) as answer:
            assert (answer.content_type, answer.charset) == ("text/plain", "utf-8")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Disposition"].startswith("attachment; ")
            assert EVIL in await answer.text()


async def test_in_dead_letters(client: Client) -> None:
    for path, choices in (("/letter", {"id": LETTER}), ("/retry", {"id": LETTER}), ("/retry", {})):
        assert "x-mark" in " ".join(check(await read(client, path, **choices)).texts)


@pytest.mark.parametrize(
    ("path", "choices", "status"),
    [
        (f"/{EVIL}", {}, 404),
        (f"/run/{EVIL}.csv", {}, 404),
        (f"/static/{EVIL}", {}, 404),
        ("/run", {"by": EVIL}, 400),
        ("/letter", {"id": EVIL}, 400),
        ("/retry", {"topic": EVIL}, 400),
        ("/retried", {"result": EVIL}, 404),
        ("/tonight", {EVIL: EVIL}, 200),
        ("/candidate", {"event": EVIL}, 200),
    ],
)
async def test_in_addresses(client: Client, path: str, choices: dict[str, str], status: int) -> None:
    address = URL.build(path=path, query=choices)
    async with client.get(address) as answer:
        check(await answer.text())
        assert answer.status == status


async def test_in_errors(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise QueryFailed(EVIL)

    monkeypatch.setattr(Database, "fetch", fail)
    assert "x-mark" in " ".join(check(await read(client, "/tonight")).texts)
    assert "x-mark" in " ".join(check(await read(client, "/tonight/by-time.csv", 502)).texts)
