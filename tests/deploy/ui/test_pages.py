"""Every page over real rows: figures equal SQL, markup is text, and nothing comes from elsewhere."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from evometrics.deploy.ui.pages import PAGES, run
from evometrics.deploy.ui.server import application
from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionProgressed, KpiSnapshot, now_micros
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.ids import new_event_id
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.filled import filled_database
from tests.support.sinks import one_of_each, sent

Client = TestClient[web.Request, web.Application]

MARKUP = "<script>alert('out')</script> & \"co\""
RUN = "night/7 & <b>more</b>"
#: Score, cost and status of a run's candidates, in their order.
TRIED: list[tuple[float | None, float | None, str]] = [
    (0.9, 0.01, "succeeded"),
    (0.7, None, "succeeded"),
    (0.8, 0.02, "rolled_back"),
    (None, 0.03, "failed"),
    (None, None, "pruned"),
    (0.125, 0.25, "succeeded"),
]


def events() -> Iterator[Event]:
    """Yield a run of candidates, the last of them of two parents, and an event of every kind."""
    now = now_micros() - 60_000_000
    for number, (score, cost, status) in enumerate(TRIED):
        completed = EvolutionCompleted(
            event_id=new_event_id(),
            agent_id=f"{RUN}/{number}",
            node_id="node-1",
            occurred_at=now + number,
            started_at=now + number - 1_000_000,
            evolution_id=f"{RUN}/{number}",
            evolution_type="sweep",
            strategy_used=MARKUP if number % 2 else "plain",
            status=status,
            success=status == "succeeded",
            duration_seconds=1.0,
            pre_kpis={"loss": 1.0},
            post_kpis={} if score is None else {"loss": score, "size": 10.0 - number},
            insights=[f"error: {MARKUP}"] if status == "failed" else [],
            metadata={"note": MARKUP},
            cost_usd=cost,
            candidate=f"step {number}\n{MARKUP}",
            candidate_hash=sha256(f"{number}, and more".encode()).hexdigest() if number == 5 else None,
            run_id=RUN,
            objective="loss",
            direction="minimize",
            parent_agent_ids=[f"{RUN}/0", f"{RUN}/1"] if number == 5 else [],
            parent_agent_id=f"{RUN}/0" if number == 5 else None,
        )
        yield completed
        yield evolution_metrics(completed)
        yield EvolutionProgressed(
            event_id=new_event_id(),
            agent_id="sweep",
            node_id="node-1",
            occurred_at=now + number,
            evolution_id=RUN,
            iteration=number,
            fitness=1.0 - number / 10,
            mean=1.0,
        )
    yield KpiSnapshot(
        event_id=new_event_id(),
        agent_id=f"{RUN}/0",
        node_id="node-1",
        occurred_at=now,
        phase="continuous",
        accuracy=0.25,
        overall_performance=0.5,
        extra={"own": 2.0},
    )
    yield from one_of_each("agent-of-each")


@pytest.fixture(scope="module")
def filled(migrated: ClickHouseSettings) -> Iterator[ClickHouseSettings]:
    with filled_database(migrated, "pages_of_the_ui", events()) as settings:
        yield settings


@pytest.fixture
async def query(filled: ClickHouseSettings) -> AsyncIterator[MetricsQuery]:
    async with MetricsQuery(filled) as found:
        yield found


@pytest.fixture
async def client(query: MetricsQuery) -> AsyncIterator[Client]:
    async with TestClient(TestServer(application(query))) as found:
        yield found


async def text(client: Client, path: str, status: int = 200, **choices: str) -> str:
    async with client.get(path, params=choices) as answer:
        body = await answer.text()
        assert answer.status == status, body
    return body


def figures(html: str) -> dict[str, str]:
    """Return a page's numbers by the columns' names, the first of each."""
    return dict(reversed(re.findall(r'<data data-column="(\w+)" value="([^"]*)"', html)))


async def event_of(query: MetricsQuery, number: int) -> str:
    sql = "SELECT event_id FROM evolution_completed WHERE agent_id = {agent:String}"
    ((event,),) = await query.sql(sql, {"agent": f"{RUN}/{number}"})
    return str(event)


async def test_every_page_is_whole_and_loads_nothing_from_elsewhere(
    client: Client, query: MetricsQuery
) -> None:
    choices: dict[str, dict[str, str]] = {
        "run": {"run": RUN, "by": "cost_so_far"},
        "agent": {"agent": f"{RUN}/0", "kpi": "all"},
        "lineage": {"agent": f"{RUN}/5", "show": "all"},
        "candidate": {"event": await event_of(query, 5)},
        "compare": {"what": "strategy_used", "a": "plain", "b": MARKUP},
        "pareto": {"run": RUN, "x": "loss", "x_is": "minimize", "y": "size"},
    }
    for page in PAGES:
        for given in ({}, choices.get(page.name, {})):
            html = await text(client, f"/{page.name}", **given)
            assert 'class="problem"' not in html, (page.name, html)
            assert "<script>alert" not in html
            assert not re.findall(r'(?:src|href|action)="(?!/|#)[^"]*"', html)
    for name in choices:
        assert "<svg" in await text(client, f"/{name}", **choices[name])


async def test_a_runs_figures_equal_sql(client: Client) -> None:
    found = figures(await text(client, "/run", run=RUN))
    assert found["attempts"] == "6"
    assert found["succeeded"] == "3"
    assert float(found["success_rate"]) == 0.5
    assert float(found["best_score"]) == 0.125
    assert float(found["cost_usd"]) == pytest.approx(0.31)
    assert (float(found["low"]), float(found["high"])) == pytest.approx((0.18761630, 0.81238370))


async def rows_of(client: Client, page: str, section: str, **choices: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(await text(client, f"/{page}/{section}.csv", **choices))))


async def test_the_best_so_far_follows_the_direction_of_the_objective(client: Client) -> None:
    rows = await rows_of(client, "run", "scores", run=RUN)
    assert [row["best_so_far"] for row in rows] == ["0.9", "0.7", "0.7", "0.7", "0.7", "0.125"]
    assert [float(row["cost_so_far"]) for row in rows] == pytest.approx([0.01, 0.01, 0.03, 0.06, 0.06, 0.31])


async def test_of_many_candidates_a_share_is_drawn_and_the_page_says_so(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MOST_DOTS", 3)
    html = await text(client, "/run", run=RUN)
    assert "3 of 6 candidates are drawn." in html
    assert len(await rows_of(client, "run", "scores", run=RUN)) == 6


async def test_the_dots_that_are_drawn_hold_the_best_so_far(query: MetricsQuery) -> None:
    found = await query.sql(run.CANDIDATES, {"run": RUN, "dots": 3})
    rows = [dict(zip(found.columns, row, strict=True)) for row in found]
    assert [(row["candidate"], row["best_so_far"]) for row in rows] == [(2, 0.7), (3, 0.7), (6, 0.125)]


async def test_a_run_has_the_times_of_its_first_and_last_evolution(query: MetricsQuery) -> None:
    times = "SELECT first_at, last_at FROM evolution_runs WHERE run_id = {run:String}"
    ends = "SELECT min(occurred_at), max(occurred_at) FROM evolution_metrics WHERE run_id = {run:String}"
    assert list(await query.sql(times, {"run": RUN})) == list(await query.sql(ends, {"run": RUN}))


async def test_the_front_holds_what_no_other_beats_in_both(client: Client) -> None:
    rows = await rows_of(client, "pareto", "front", run=RUN, x="loss", x_is="minimize", y="size")
    front = {(row["x"], row["y"]) for row in rows if row["front"] == "1"}
    assert front == {("0.9", "10.0"), ("0.7", "9.0"), ("0.125", "5.0")}
    assert {(row["x"], row["y"]) for row in rows} - front == {("0.8", "8.0")}


async def test_a_merge_has_an_edge_from_each_parent(client: Client) -> None:
    rows = await rows_of(client, "lineage", "graph", agent=f"{RUN}/5")
    assert {(row["parent"], row["child"]) for row in rows} == {(f"{RUN}/{n}", f"{RUN}/5") for n in (0, 1)}


async def test_a_candidates_text_is_shown_as_it_is(client: Client, query: MetricsQuery) -> None:
    html = await text(client, "/candidate", event=await event_of(query, 3))
    assert (
        "step 3\n</span><span>&lt;script&gt;alert(&#39;out&#39;)&lt;/script&gt; &amp; &#34;co&#34;</span>"
        in html
    )


async def test_a_candidates_text_is_compared_with_each_parents(client: Client, query: MetricsQuery) -> None:
    event = await event_of(query, 5)
    html = await text(client, "/candidate", event=event)
    for parent in (0, 1):
        assert f'href="/candidate?event={await event_of(query, parent)}"' in html
        assert f'<del data-old="1">-step {parent}\n</del><ins data-new="1">+step 5\n</ins>' in html
    assert "Only its beginning, " in html and "Only the beginning of this text is kept" in html
    assert (await text(client, "/candidate/difference.txt", event=event)).splitlines()[:5] == [
        f"--- {RUN}/0",
        "+++ candidate",
        "@@ -1,2 +1,2 @@",
        "-step 0",
        "+step 5",
    ]


async def test_without_parents_the_agents_last_kept_text_is_compared(
    client: Client, filled: ClickHouseSettings, query: MetricsQuery
) -> None:
    now = now_micros() - 1_000_000_000
    tried = [("first\n", "succeeded"), ("undone\n", "rolled_back"), ("second\n", "succeeded")]
    made = [
        EvolutionCompleted(
            event_id=new_event_id(),
            agent_id="alone",
            node_id="node-1",
            occurred_at=now + 1000 * number,
            started_at=now + 1000 * number - 500,
            evolution_id=f"alone-{number}",
            status=status,
            success=status == "succeeded",
            candidate=candidate,
        )
        for number, (candidate, status) in enumerate(tried)
    ]
    await fill(filled, [sent(each, offset=20_000 + n) for n, each in enumerate(made)])
    patch = await text(client, "/candidate/difference.txt", event=made[2].event_id)
    assert patch == "--- alone\n+++ candidate\n@@ -1 +1 @@\n-first\n+second\n"
    first = await text(client, "/candidate", event=made[0].event_id)
    assert "There is no text of a parent to compare it with." in first


@pytest.mark.parametrize(
    ("page", "section", "choices"),
    [("tonight", "by-time", {}), ("strategies", "rates", {"by": "model"}), ("run", "scores", {"run": RUN})],
)
async def test_a_picture_is_a_png(client: Client, page: str, section: str, choices: dict[str, str]) -> None:
    async with client.get(f"/{page}/{section}.png", params=choices) as answer:
        assert answer.status == 200
        assert (await answer.read()).startswith(b"\x89PNG")
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{page}-{section}.png"'


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/nowhere", 404, "no page nowhere; pages are tonight"),
        ("/run/nothing.csv", 404, "run has no nothing"),
        ("/tonight?hours=many", 400, "hours=&#39;many&#39;: give one of"),
        ("/static/..%2Fserver.py", 404, ""),
    ],
)
async def test_what_does_not_exist_is_named(client: Client, path: str, status: int, words: str) -> None:
    assert words in await text(client, path, status)


async def test_a_wrong_event_is_told_where_candidates_are_found(client: Client) -> None:
    assert "pages of runs and agents lead to candidates" in await text(client, "/candidate", event="x'; --")


async def test_the_browser_is_told_to_load_nothing_else(client: Client) -> None:
    for path in ("/tonight", "/nowhere", "/static/page.js"):
        async with client.get(path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
    ],
)
async def test_other_names_and_other_sites_are_refused(
    client: Client, headers: dict[str, str], status: int
) -> None:
    async with client.get("/static/page.css", headers=headers) as answer:
        assert answer.status == status


async def test_an_open_page_hears_of_new_rows(client: Client, filled: ClickHouseSettings) -> None:
    async with client.get("/live") as stream:
        assert stream.content_type == "text/event-stream"
        await fill(filled, [sent(each, offset=10_000 + n) for n, each in enumerate(one_of_each("later"))])
        while not (line := await stream.content.readline()).startswith(b"event: "):
            continue
        assert line == b"event: rows\n"


def test_addresses_hold_any_value() -> None:
    from evometrics.deploy.ui.page import address

    assert address("run", run=RUN, by="") == "/run?run=night%2F7+%26+%3Cb%3Emore%3C%2Fb%3E"


def test_pages_have_names_of_their_own() -> None:
    names: list[Any] = [page.name for page in PAGES]
    assert len(set(names)) == len(names)
