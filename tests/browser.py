"""A house with a real server and a real browser: who comes in by which door. Shared by the tests of the pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.processes import Processes, Server

ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BUSY_MS = 20_000
"""For what a page shows: it comes in milliseconds, and on a machine that others use a page may get no CPU for seconds."""
READ_ENTRIES = """
import json
from realtime.models import JournalEntry
print(json.dumps([[e.kind, e.client_id, e.member, json.loads(e.data)] for e in
    JournalEntry.objects.filter(room__name="rose-garden").order_by("offset")]))
"""


@dataclass
class House:
    """A server with its demo, and the browser that looks at it."""

    processes: Processes
    browser: Browser
    server: Server
    logins: dict[str, Any]
    problems: list[str] = field(default_factory=list)

    async def person(self, **options: Any) -> BrowserContext:
        return await self.browser.new_context(**{"base_url": self.server.url} | options)

    async def planner(self, context: BrowserContext) -> Page:
        page = self.watched(await context.new_page())
        await self.log_in(page, "planner", "/weddings/rose-garden/")
        return page

    async def log_in(self, page: Page, name: str, then: str = "/") -> None:
        await page.goto(f"/login/?next={then}")
        await page.fill("#id_username", name)
        await page.fill("#id_password", self.logins["passwords"][name])
        await page.get_by_test_id("login").click()

    async def joined(self, context: BrowserContext, who: str) -> Page:
        page = self.watched(await context.new_page())
        await page.goto(self.logins["weddings"]["rose-garden"]["joins"][who])
        await page.get_by_test_id("join").click()
        return page

    def watched(self, page: Page) -> Page:
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        return page

    def entries(self, kind: str) -> list[list[Any]]:
        """[kind, client id, member, data] of what the journal has of this kind, in order."""
        printed = self.processes.manage("shell", "-v0", "-c", READ_ENTRIES).strip().splitlines()[-1]
        return [entry for entry in json.loads(printed) if entry[0] == kind]


@asynccontextmanager
async def house(processes: Processes, chromium: str, *, fleet: bool = False) -> AsyncIterator[House]:
    expect.set_options(timeout=BUSY_MS)
    logins = processes.demo()
    server = processes.fleet() if fleet else processes.server()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=ARGS)
        try:
            opened = House(processes, browser, server, logins)
            yield opened
            assert opened.problems == []
        finally:
            await browser.close()


def row(page: Page, title: str) -> Any:
    """The line of the run sheet with this title."""
    heading = page.get_by_role("heading", name=title, exact=True)
    return page.get_by_test_id("item").filter(has=heading)


async def is_live(page: Page, timeout_s: float = BUSY_MS / 1_000) -> None:
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live", timeout=timeout_s * 1_000)


async def until(page: Page, expression: str, timeout_s: float = 20.0) -> None:
    """Ask the page until it is so. `wait_for_function` takes the promise of an answer for a yes."""
    for _ in range(round(timeout_s / 0.05)):
        if await page.evaluate(expression):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"after {timeout_s:g} s it is still not so: {expression}")
