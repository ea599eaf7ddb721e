"""The pages in a real browser: what they show, without a mouse, in the dark, on a phone, without scripts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page

from evometrics.deploy.ui.looks import WIDTHS
from evometrics.deploy.ui.pages import PAGES
from evometrics.deploy.ui.server import application
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.browser import Watched, browser, chromium
from tests.support.page_figures import compared
from tests.support.shown_night import SEARCH, evolution, messages
from tests.support.shown_pages import addresses, fill_night
from tests.support.sinks import copy_database, run_statements

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(chromium() is None, reason="no Chromium is installed here (apt-get install chromium)"),
]

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
NAMES = [
    *(page.name for page in PAGES),
    *(f"{name}-bare" for name in ("run", "compare")),
]
#: What has the focus, in words: where it stands, and what it is.
FOCUSED = """() => {
    const one = document.activeElement, style = getComputedStyle(one);
    return [[...document.querySelectorAll('*')].indexOf(one), style.outlineStyle !== 'none']
}"""
#: What a reader can do something with, of which something is seen; marks are reached by their chart.
CONTROLS = """() => [...document.querySelectorAll('a, button, input, select, summary, [tabindex="0"]')]
    .filter(each => !each.closest('.chart svg') && each.checkVisibility())
    .map(each => [...document.querySelectorAll('*')].indexOf(each))"""


class Site:
    """The server over a night, a browser, and the statements that were run for pages."""

    def __init__(self, chrome: Browser, query: MetricsQuery, root: str, paths: Mapping[str, str]) -> None:
        self.chrome = chrome
        self.query = query
        self.root = root
        self.paths = paths

    async def open(self, name: str, **options: Any) -> Watched:
        """Open a page in a browser of its own."""
        context = await self.chrome.new_context(**{"viewport": WIDE, "color_scheme": "light", **options})
        watched = Watched(await context.new_page())
        await watched.page.goto(self.root + self.paths[name])
        return watched

    async def close(self, watched: Watched) -> None:
        """Close a browser; nothing was complained of, and nobody else was asked."""
        await watched.page.context.close()
        assert watched.said == []
        assert watched.hosts == {self.root.removeprefix("http://")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def settings(migrated: ClickHouseSettings) -> AsyncIterator[ClickHouseSettings]:
    made = replace(migrated, database="pages_in_a_browser")
    await copy_database(migrated, made)
    await fill_night(made, rounds=6, agents=4, candidates=40)
    yield made
    await run_statements(made, [f"DROP DATABASE {made.database}"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(settings: ClickHouseSettings) -> AsyncIterator[Site]:
    async with (
        MetricsQuery(settings) as query,
        TestServer(application(query)) as server,
        browser() as chrome,
    ):
        yield Site(chrome, query, f"http://127.0.0.1:{server.port}", await addresses(query))


async def faults(page: Page, *rules: str) -> list[str]:
    """Return what axe finds, however small, by all its rules or by these."""
    only = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    found = await Axe().run(page, options={"resultTypes": ["violations"], **only})
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:200]}"
        for each in found.response["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("name", NAMES)
async def test_a_page_is_accessible_and_fits_in_light_in_the_dark_and_on_a_phone(
    site: Site, name: str
) -> None:
    watched = await site.open(name)
    page = watched.page
    assert await faults(page) == []
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    assert await faults(page, "color-contrast") == []
    await page.set_viewport_size(PHONE)
    if await page.locator(".chart").count():
        await page.locator(f"#sections[data-width='{WIDTHS[0]}']").wait_for()
    assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    await site.close(watched)


@pytest.mark.parametrize("name", NAMES)
async def test_figures_equal_what_the_statement_behind_the_button_gives(site: Site, name: str) -> None:
    watched = await site.open(name)
    page = watched.page
    await compared(page, site.query, site.root)
    await site.close(watched)


@pytest.mark.parametrize("name", ["run", "strategies", "pipeline"])
async def test_the_keyboard_alone_reaches_every_control_and_shows_where_it_is(site: Site, name: str) -> None:
    watched = await site.open(name)
    page = watched.page
    controls = set(await page.evaluate(CONTROLS))
    reached = {}
    for _ in range(len(controls) + 5):
        await page.keyboard.press("Tab")
        place, outlined = await page.evaluate(FOCUSED)
        reached[place] = outlined
    assert controls <= set(reached)
    assert [place for place in controls if not reached[place]] == []
    await site.close(watched)


async def test_a_mark_is_read_and_followed_from_the_keyboard(site: Site) -> None:
    watched = await site.open("run")
    page = watched.page
    await page.locator("#scores .chart").focus()
    tip = page.locator(".tip")
    assert not await tip.is_visible()
    said = set()
    await page.keyboard.press("End")
    for _ in range(3):
        said.add(await tip.inner_text())
        await page.keyboard.press("ArrowLeft")
    assert len(said) == 3
    assert all(SEARCH in each for each in said)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/candidate?event=*")
    assert await page.locator("#text > pre").inner_text()
    await site.close(watched)


async def test_an_address_restores_the_page(site: Site) -> None:
    watched = await site.open("pareto-bare")
    page = watched.page
    for name, value in {"run": SEARCH, "x": "latency_ms", "y": "memory_mb"}.items():
        await page.locator(f"input[name={name}]").fill(value)
    await page.locator("select[name=x_is]").select_option("minimize")
    await page.keyboard.press("Tab")
    await page.locator("input[name=y]").press("Enter")
    await page.locator("#front .chart svg").wait_for()
    again = await page.context.new_page()
    await again.goto(page.url)
    for one in (page, again):
        state = await one.locator("form :is(input, select)").evaluate_all(
            "all => all.map(each => each.value)"
        )
        assert state == [SEARCH, "latency_ms", "minimize", "memory_mb", "maximize"]
    assert await again.locator("#front").inner_text() == await page.locator("#front").inner_text()
    await site.close(watched)


async def test_rows_and_pictures_are_stored_as_files(site: Site, tmp_path: Path) -> None:
    watched = await site.open("run")
    page = watched.page
    for suffix, begins in (("csv", b"event_id,"), ("png", b"\x89PNG")):
        async with page.expect_download() as started:
            await page.locator(f"#scores a[href*='.{suffix}']").click()
        download = await started.value
        assert download.suggested_filename == f"run-scores.{suffix}"
        stored = tmp_path / suffix
        await download.save_as(stored)
        assert stored.read_bytes().startswith(begins)
    await site.close(watched)


async def test_without_scripts_a_phone_has_everything_but_live(site: Site) -> None:
    agent = "Mozilla/5.0 (Android 16; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0"
    watched = await site.open("run", java_script_enabled=False, viewport=PHONE, user_agent=agent)
    page = watched.page
    assert await page.locator("#scores svg").get_attribute("width") == str(WIDTHS[0])
    assert await page.locator("#scores .role-mark [aria-label*='score: ']").count() >= 40
    assert not await page.locator("#scores tbody").is_visible()
    await page.locator("#scores .rows summary").click()
    assert await page.locator("#scores tbody tr").count() == 40
    await page.locator("#best tbody a").first.click()
    await page.wait_for_url("**/candidate?event=*")
    await site.close(watched)


async def test_a_new_evolution_appears_without_a_reload_and_the_reader_keeps_his_place(
    site: Site, settings: ClickHouseSettings
) -> None:
    watched = await site.open("run", viewport={"width": 1280, "height": 600})
    page = watched.page
    live = page.locator(".live")
    await page.get_by_text("live", exact=True).wait_for()
    await page.locator("#scores .sql summary").click()
    link = page.locator("#best a[href*='.csv']")
    await link.focus()
    await page.evaluate("window.stillTheSame = true; document.querySelector('#best .table').scrollTop = 40")
    before = await page.evaluate("scrollY")
    assert before > 0
    assert await page.locator("#short .of-attempts data").first.get_attribute("value") == "40"
    fields = {"strategy_used": "mutate", "status": "succeeded", "evolution_type": "program_search"}
    kpis = {"pre_kpis": {"latency_ms": 3.0}, "post_kpis": {"latency_ms": 1.0}}
    goal = {"run_id": SEARCH, "objective": "latency_ms", "direction": "minimize"}
    new = evolution(int(time.time() * 1e6), f"{SEARCH}/new", "gpu-1", 1.0, **fields, **kpis, **goal)
    await fill(settings, messages(new))
    await page.locator("#short .of-attempts data[value='41']").wait_for()
    await page.locator(f"#best tbody tr:first-child :text('{SEARCH}/new')").wait_for()
    assert await page.evaluate("window.stillTheSame")
    assert await page.evaluate("scrollY") == before
    assert await page.evaluate("document.querySelector('#best .table').scrollTop") == 40
    assert await page.locator("#scores .sql[open]").count() == 1
    assert await link.evaluate("each => each === document.activeElement")
    assert (await live.inner_text()).startswith("live, ")
    await site.close(watched)
