"""`pages`: how long each page of `evometrics ui` takes over two years of a fleet, and what ClickHouse reads.

A page is asked for over HTTP as browsers do, of `evometrics ui` in a process of its own, which asks
ClickHouse as its reader: the first time, after ClickHouse was told to forget what it had in memory, and then
again with more than a second between. What each section reads, and what drawing it takes, is measured on its
own. Processor time says on a busy machine, too, what a page takes.

Then a real browser opens each page, where there is one: its figures must equal what the statements behind
its buttons give, its console must stay empty, and it must ask no other host.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp

from evometrics.deploy.process.ports import HOST, free_ports
from evometrics.deploy.ui.charts import svg
from evometrics.deploy.ui.database import FRESH_SECONDS, Database
from evometrics.deploy.ui.page import Page, Rows, Section, address
from evometrics.deploy.ui.pages import PAGES
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.query.binding import bound
from evometrics.sinks.settings import ClickHouseSettings
from tests.benchmarks.checks import require
from tests.benchmarks.figures import report
from tests.benchmarks.say import say
from tests.benchmarks.settings import Settings
from tests.benchmarks.stack import Stack, ask
from tests.benchmarks.two_years import DAYS, EVERY_NIGHTS, TwoYears
from tests.benchmarks.watch import cpu_seconds, resident_mb
from tests.support.browser import Watched, browser, chromium
from tests.support.page_figures import compared

READER = "analyst"
EVOLUTIONS, QUICK_EVOLUTIONS = 10_000_000, 50_000
#: Requests after the first.
TURNS = 3
LAST = DAYS - 1
#: Runs of 10,000 candidates: of tonight, and of a year ago.
LONG, OLD = f"shinka-night-{LAST}", f"shinka-night-{LAST - 12 * EVERY_NIGHTS}"
#: What is looked at, by a statement that finds it.
KNOWN = {
    "deep": f"SELECT argMax(agent_id, occurred_at) FROM evolution_completed WHERE run_id = '{LONG}' "
    "AND success AND notEmpty(parent_agent_ids)",
    "new": "SELECT argMax(event_id, occurred_at) FROM evolution_completed WHERE agent_id = 'agent-0'",
    "old": "SELECT any(event_id) FROM evolution_completed WHERE candidate IS NOT NULL "
    "AND occurred_at < now() - INTERVAL 80 DAY",
}
FORGET = ("MARK CACHE", "UNCOMPRESSED CACHE", "QUERY CONDITION CACHE", "PRIMARY INDEX CACHE")


async def run(settings: Settings) -> dict[str, Any]:
    """Fill two years, and ask for every page."""
    count, _ = settings.sized(events=EVOLUTIONS, quick_events=QUICK_EVOLUTIONS)
    filled = TwoYears(count, datetime.now(UTC).replace(tzinfo=None))
    async with Stack(settings.folder, with_kafka=False) as stack:
        began = time.monotonic()
        for table, statement in filled.statements():
            await asyncio.to_thread(ask, stack.clickhouse.url, statement)
            say(f"filled {table}")
        fill_seconds = time.monotonic() - began
        url = await start_pages(stack)
        found, sections = await measured(stack, url)
        walked = await walk(stack, url)
        agents = await stack.number("SELECT uniqExact(agent_id) FROM evolution_metrics_rows")
        shown = await stack.number("SELECT count() FROM evolution_metrics")
        memory = resident_mb(stack.pids("clickhouse", "ui"))
    return report(
        evolutions=shown,
        agents=agents,
        fill_seconds=fill_seconds,
        memory_mb=memory,
        pages=found,
        sections=sections,
        browser=walked,
    )


async def start_pages(stack: Stack) -> str:
    """Start `evometrics ui` as people do; return its address."""
    (port,) = free_ports(1)
    url = f"http://{HOST}:{port}"
    argv = ["-m", "evometrics.deploy.cli", "ui", "--port", str(port)]
    argv += ["--clickhouse-url", stack.clickhouse.url, "--clickhouse-user", READER]
    await stack.python("ui", argv, ready=f"{url}/static/page.css")
    return url


def cases(known: Mapping[str, str]) -> list[tuple[str, str, dict[str, str]]]:
    """Return what is asked for: in words, the page's name, and its choices; `known`: answers of `KNOWN`."""
    pareto = {"x": "accuracy", "y": "response_time_ms", "y_is": "minimize"}
    month = {"hours": "720"}
    return [
        *((f"{page.name}, as it opens", page.name, {}) for page in PAGES),
        ("tonight, 30 days", "tonight", month),
        ("run of 10,000", "run", {"run": LONG}),
        ("run of 10,000, a year ago", "run", {"run": OLD}),
        ("run: a fleet's night", "run", {"run": f"night-{LAST - 1}", "by": "cost_so_far"}),
        ("agent that evolves most", "agent", {"agent": "agent-0"}),
        ("agent that evolves most, all KPIs", "agent", {"agent": "agent-0", "kpi": "all"}),
        ("agent of a study", "agent", {"agent": "study-7"}),
        ("lineage of the last of 10,000", "lineage", {"agent": known["deep"], "show": "all"}),
        ("lineage of the first of 10,000", "lineage", {"agent": "shinka/0", "show": "all"}),
        ("lineage of a search's", "lineage", {"agent": "gepa-7/99"}),
        ("strategies, 30 days", "strategies", month),
        ("models, 30 days", "strategies", {**month, "by": "model"}),
        ("compare two agents", "compare", {**month, "a": "agent-0", "b": "agent-1"}),
        ("compare two runs of 10,000", "compare", {"what": "run_id", "a": LONG, "b": OLD, **month}),
        ("compare two strategies", "compare", {**month, "what": "strategy_used", "a": "tpe", "b": "merge"}),
        ("compare two nodes", "compare", {**month, "what": "node_id", "a": "node-1", "b": "node-2"}),
        ("pareto of 10,000", "pareto", {"run": LONG, **pareto}),
        ("candidate of today", "candidate", {"event": known["new"]}),
        ("candidate of 80 days ago", "candidate", {"event": known["old"]}),
        ("pipeline, 30 days", "pipeline", month),
    ]


async def measured(stack: Stack, pages: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return figures of each page, and of each section of them."""
    clickhouse, pids = stack.clickhouse.url, stack.pids()
    known = await looked_up(clickhouse)
    by_name = {page.name: page for page in PAGES}
    found, parts = [], []
    async with aiohttp.ClientSession() as http, MetricsQuery(as_reader(clickhouse)) as query:
        for words, name, choices in cases(known):
            for what in FORGET:
                await asyncio.to_thread(ask, clickhouse, f"SYSTEM DROP {what}")
            before = cpu_seconds(pids)
            first, size = await asked(http, pages + address(name, **choices))
            cpu = {part: used - before[part] for part, used in cpu_seconds(pids).items()}
            again = []
            for _ in range(TURNS):
                await asyncio.sleep(FRESH_SECONDS * 1.1)
                again.append((await asked(http, pages + address(name, **choices)))[0])
            own = [
                await section_figures(http, clickhouse, query, words, one)
                for one in asked_sections(by_name[name], choices)
            ]
            found.append(
                {
                    "page": words,
                    "first_s": first,
                    "again_s": statistics.median(again),
                    "cpu_s": cpu,
                    "html_kb": size / 1000,
                    "read_rows": sum(each["read_rows"] for each in own),
                    "read_mb": sum(each["read_mb"] for each in own),
                    "drawing_s": sum(each["drawing_s"] for each in own),
                }
            )
            again_s = found[-1]["again_s"]
            say(f"{words}: {first:.2f} s, then {again_s:.2f} s; {found[-1]['read_rows']:,} rows read")
            parts += own
    return found, parts


async def looked_up(clickhouse: str) -> dict[str, str]:
    """Return the answers of `KNOWN`."""
    return {
        name: (await asyncio.to_thread(ask, clickhouse, sql)).decode().strip() for name, sql in KNOWN.items()
    }


async def walk(stack: Stack, pages: str) -> list[dict[str, Any]]:
    """Open each page in a browser; return how long it took, and how many figures were compared."""
    if chromium() is None:
        say("no Chromium is installed here: the pages are not opened in a browser")
        return []
    found = []
    # who compares is no reader: some statements are found in other ways by the pages, and take longer
    async with browser() as chrome, MetricsQuery(ClickHouseSettings(url=stack.clickhouse.url)) as query:
        for words, name, choices in cases(await looked_up(stack.clickhouse.url)):
            watched = Watched(await (await chrome.new_context()).new_page())
            began = time.perf_counter()
            await watched.page.goto(pages + address(name, **choices))
            took = time.perf_counter() - began
            figures = await compared(watched.page, query, pages, csv=False)
            await watched.page.context.close()
            require(not watched.said, f"{words}: {watched.said}")
            hosts = watched.hosts - {pages.removeprefix("http://")}
            require(not hosts, f"{words} asked {hosts}")
            say(f"{words}, in a browser: {took:.2f} s, {figures} figures equal SQL")
            found.append({"page": words, "loaded_s": took, "figures": figures})
    return found


def as_reader(url: str) -> ClickHouseSettings:
    """Return the settings with which the pages ask the local stack."""
    return ClickHouseSettings(url=url, user=READER)


def asked_sections(page: Page, choices: Mapping[str, str]) -> list[Section]:
    """Return a page's sections, and as further ones what it suggests for its choices."""
    suggested = {choice.suggestions for choice in page.choices if choice.suggestions}
    lists = [Section(f"list {number}", "", sql) for number, sql in enumerate(sorted(suggested))]
    return [*page.sections(page.state(choices)), *lists]


async def asked(http: aiohttp.ClientSession, url: str) -> tuple[float, int]:
    """Return the seconds that a page took, and its bytes."""
    began = time.perf_counter()
    async with http.get(url) as answer:
        body = await answer.read()
    at = body.find(b'class="problem"')
    require(answer.status == 200 and at < 0, f"{url}: {body[at : at + 1000].decode()}")
    return time.perf_counter() - began, len(body)


class Noting(Database):
    """Notes which statements were run."""

    def __init__(self, query: MetricsQuery) -> None:
        super().__init__(query)
        self.statements: list[tuple[str, Mapping[str, Any]]] = []

    async def fetch(self, sql: str, values: Mapping[str, Any]) -> Rows:
        """Return a statement's rows."""
        self.statements.append((sql, values))
        return await super().fetch(sql, values)


async def section_figures(
    http: aiohttp.ClientSession, clickhouse: str, query: MetricsQuery, page: str, section: Section
) -> dict[str, Any]:
    """Return what a section's statements read and take, and what drawing its rows takes."""
    database = Noting(query)
    began = time.perf_counter()
    rows = await database.rows(section)
    took = time.perf_counter() - began
    began = time.perf_counter()
    if section.draw is not None and rows:
        await asyncio.to_thread(svg, section.draw(rows))
    drawing = time.perf_counter() - began
    read = [await read_by(http, clickhouse, *each) for each in database.statements]
    return {
        "page": page,
        "section": section.name,
        "statements": len(read),
        "statement_s": took,
        "drawing_s": drawing,
        "rows": len(rows),
        "read_rows": sum(number for number, _ in read),
        "read_mb": sum(size for _, size in read) / 1e6,
    }


async def read_by(
    http: aiohttp.ClientSession, clickhouse: str, sql: str, values: Mapping[str, Any]
) -> tuple[int, int]:
    """Return the rows and the bytes that ClickHouse reads for a statement."""
    given = {f"param_{name}": str(value) for name, value in bound(sql, values).items()}
    settings = {"database": "evometrics", "wait_end_of_query": "1", "default_format": "Null"}
    fields = aiohttp.FormData({"query": sql, **given}, default_to_multipart=True)
    async with http.post(clickhouse, params={**settings, "user": READER}, data=fields) as answer:
        require(answer.status == 200, f"{sql}: {await answer.text()}")
        summary = json.loads(answer.headers["X-ClickHouse-Summary"])
    return int(summary["read_rows"]), int(summary["read_bytes"])
