"""A real browser: where Chromium is found, and what a page that is opened in it asks for and complains of."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: In a container there is no sandbox of its own; and the browser itself shall ask for nothing.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--force-color-profile=srgb",
)


def chromium() -> str | None:
    """Return the path of this machine's Chromium; None where it has none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Run Chromium, headless."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield running
        finally:
            await running.close()


@dataclass
class Watched:
    """What a page did since it was opened: messages of its console, hosts that it asked."""

    page: Page
    said: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("console", self.console)
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def console(self, message: ConsoleMessage) -> None:
        self.said.append(f"{message.type}: {message.text}")
