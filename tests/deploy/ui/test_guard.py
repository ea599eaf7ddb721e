"""Every answer tells the browser to load nothing from elsewhere, whatever it answers."""

from __future__ import annotations

import re
from itertools import chain

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from evometrics.deploy.ui.guard import HEADERS, is_own
from evometrics.deploy.ui.rendering import environment
from evometrics.deploy.ui.server import Ui, application
from evometrics.deploy.ui.upstream import Upstream
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 302),
        ("GET", "/health/live", {}, 200),
        ("GET", "/static/page.css", {}, 200),
        ("GET", "/static/text.css", {}, 200),
        ("GET", "/static/icon.svg", {}, 200),
        ("HEAD", "/static/page.js", {}, 200),
        ("GET", "/static/none", {}, 404),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/a/b/c/d", {}, 404),
        ("GET", "/run?by=none", {}, 400),
        ("GET", "/tonight", {}, 200),
        ("GET", "/tonight/by-time.csv", {}, 502),
        ("GET", "/tonight/by-time.png", {}, 502),
        ("GET", "/letter?id=00000000-0000-0000-0000-000000000000", {}, 502),
        ("POST", "/tonight", {}, 405),
        ("POST", "/retry", {}, 403),
        ("PUT", "/retry", {}, 405),
        ("GET", "/tonight", {"Host": "evil.example"}, 421),
        ("GET", "/tonight", {"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_every_answer_has_the_policy(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """Here no ClickHouse answers: errors are answers as well."""
    async with pages() as client:
        async with client.request(method, path, headers=headers, allow_redirects=False) as answer:
            assert answer.status == status
            assert HEADERS.items() <= dict(answer.headers).items()
            policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


async def test_a_fault_of_the_pages_has_it_too_and_shows_nothing_of_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> web.Response:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Ui, "live_still", fail)
    async with pages() as client, client.get("/health/live") as answer:
        assert answer.status == 500
        assert HEADERS.items() <= dict(answer.headers).items()
        assert "secret" not in await answer.text()


async def test_a_form_that_is_too_large_is_refused_in_words() -> None:
    async with pages() as client, client.post("/retry", data={"token": "x" * 2_000_000}) as answer:
        assert answer.status == 413
        assert "Nothing was sent" in await answer.text()
        assert HEADERS.items() <= dict(answer.headers).items()


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("https://Pages.Example", "pages.example", True),
        ("http://127.0.0.1:8001", "127.0.0.1:8000", False),
        ("http://127.0.0.1:8000.evil.example", "127.0.0.1:8000", False),
        ("http://127.0.0.1:8000/", "127.0.0.1:8000", False),
        ("null", "null", False),
        ("file://", "", False),
        ("", "127.0.0.1:8000", False),
    ],
)
def test_an_origin_is_own_where_it_names_the_host_that_was_asked(origin: str, host: str, own: bool) -> None:
    assert is_own(origin, host) is own


def test_templates_write_every_value_as_text() -> None:
    assert environment().from_string("{{ value }}").render(value="<b>") == "&lt;b&gt;"
    safe = [re.findall(r"{{ ([^{}]*) \| safe }}", source_of(name)) for name in environment().list_templates()]
    assert set(chain(*safe)) == {"answer.picture", "picture(answer, width)", "styles"}, (
        "pictures and style sheets of ours"
    )


def source_of(name: str) -> str:
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), name)[0]


def pages() -> TestClient[web.Request, web.Application]:
    """Return a client of pages over a ClickHouse that does not answer."""
    query = MetricsQuery(ClickHouseSettings(url="http://127.0.0.1:9"))
    return TestClient(TestServer(application(query, upstream=Upstream(KafkaSettings(brokers="127.0.0.1:9")))))
