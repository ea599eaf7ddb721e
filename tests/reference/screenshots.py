"""Take the pictures of the pages for the documents: `python -m tests.reference.screenshots`.

Needs Chromium. The night in them is drawn at random but always alike; it ends when they are taken.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from aiohttp.test_utils import TestServer
from playwright.async_api import Browser

from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import free_ports
from evometrics.deploy.ui.server import application
from evometrics.sinks.migrations.migrate import migrate
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.settings import ClickHouseSettings
from tests.support.browser import browser, chromium
from tests.support.shown_pages import addresses, fill_night

FOLDER = Path(__file__).parents[2] / "docs" / "images" / "ui"
#: Bytes of a picture at most.
MOST_BYTES = 60_000
WIDE, PHONE = (1200, 860), (390, 780)


@dataclass(frozen=True)
class Shot:
    """A picture: of a page, in light or dark, so many pixels wide and high, scrolled to a section."""

    page: str
    scheme: str
    size: tuple[int, int]
    section: str = ""


SHOTS = {
    "tonight-light": Shot("tonight", "light", WIDE),
    "tonight-phone": Shot("tonight", "light", PHONE),
    "run-dark": Shot("run", "dark", WIDE),
    "run-phone": Shot("run", "dark", PHONE, "scores"),
    "lineage-light": Shot("lineage", "light", (1200, 560)),
    "strategies-light": Shot("strategies", "light", WIDE),
    "candidate-dark": Shot("candidate", "dark", WIDE),
}


async def taken(chrome: Browser, root: str, path: str, shot: Shot) -> bytes:
    """Return a picture as WebP, as good as its size allows."""
    width, height = shot.size
    context = await chrome.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if shot.scheme == "dark" else "light",
        device_scale_factor=1.5 if shot.size == PHONE else 1,
        reduced_motion="reduce",
    )
    page = await context.new_page()
    await page.goto(root + path, wait_until="load")
    await page.get_by_text("live", exact=False).first.wait_for()
    await page.wait_for_function(
        "() => !sections.querySelector('.chart') || String(width()) === sections.dataset.width"
    )
    if shot.section:
        await page.evaluate("id => document.getElementById(id).scrollIntoView()", shot.section)
    session = await context.new_cdp_session(page)
    for quality in range(90, 20, -5):
        answer = await session.send("Page.captureScreenshot", {"format": "webp", "quality": quality})
        picture = base64.b64decode(answer["data"])
        if len(picture) <= MOST_BYTES:
            await context.close()
            return picture
    raise ValueError(f"{shot} takes more than {MOST_BYTES:,} bytes")


async def take(data: Path) -> None:
    """Take all pictures, of pages over a ClickHouse of their own."""
    (port,) = free_ports(1)
    front = ChildProcess(clickhouse_process(data / "clickhouse", port, data / "clickhouse.log"))
    await front.start()
    try:
        settings = ClickHouseSettings(url=f"http://127.0.0.1:{port}", database="shown")
        await migrate(settings)
        await fill_night(settings, rounds=16, agents=12, candidates=150)
        async with (
            MetricsQuery(settings) as query,
            TestServer(application(query)) as server,
            browser() as chrome,
        ):
            paths = await addresses(query)
            FOLDER.mkdir(parents=True, exist_ok=True)
            for name, shot in SHOTS.items():
                picture = await taken(chrome, f"http://127.0.0.1:{server.port}", paths[shot.page], shot)
                (FOLDER / f"{name}.webp").write_bytes(picture)
                print(f"wrote {name}.webp, {len(picture):,} bytes")
    finally:
        await front.stop()


def main() -> int:
    """Take the pictures; 2 where there is no browser."""
    if chromium() is None:
        print("no Chromium is installed here: apt-get install chromium", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(take(Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
