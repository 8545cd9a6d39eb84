"""The pages in a real browser against a real server: side by side, through a killed server, a silent one, and a reload."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, WebSocketRoute, async_playwright, expect

from tests.processes import Processes, Server

pytestmark = pytest.mark.acceptance

ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGE_MAX_BYTES = 150_000
READ_SHIFTS = """
import json
from realtime.models import JournalEntry
print(json.dumps([[e["offset"], e["client_id"]] for e in
    JournalEntry.objects.filter(room__name="rose-garden", kind="timeline.shift").values("offset", "client_id")]))
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
        return await self.browser.new_context(base_url=self.server.url, **options)

    async def planner(self, context: BrowserContext) -> Page:
        page = self.watched(await context.new_page())
        await page.goto("/login/?next=/weddings/rose-garden/")
        await page.fill("#id_username", "planner")
        await page.fill("#id_password", self.logins["passwords"]["planner"])
        await page.get_by_test_id("login").click()
        return page

    async def joined(self, context: BrowserContext, who: str) -> Page:
        page = self.watched(await context.new_page())
        await page.goto(self.logins["weddings"]["rose-garden"]["joins"][who])
        await page.get_by_test_id("join").click()
        return page

    def watched(self, page: Page) -> Page:
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        return page

    def shifts(self) -> list[list[Any]]:
        found: list[list[Any]] = json.loads(self.processes.manage("shell", "-v0", "-c", READ_SHIFTS).strip().splitlines()[-1])
        return found


@asynccontextmanager
async def house(processes: Processes, chromium: str, *, fleet: bool = False) -> AsyncIterator[House]:
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
    heading = page.get_by_role("heading", name=title, exact=True)
    return page.get_by_test_id("item").filter(has=heading)


async def is_live(page: Page, timeout_s: float = 10) -> None:
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live", timeout=timeout_s * 1_000)


async def minutes_of(page: Page, title: str) -> int:
    """The time shown for an item, in minutes of the day."""
    hours, minutes = (await row(page, title).locator("time").inner_text()).split(":")
    return int(hours) * 60 + int(minutes)


def shown(minutes: int) -> str:
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"


async def test_what_the_planner_changes_is_on_the_other_screens(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        planner = await home.planner(await home.person())
        guest = await home.joined(await home.person(viewport={"width": 390, "height": 844}), "guest: Maya")
        vendor = await home.joined(await home.person(), "vendor: DJ")
        for page in (planner, guest, vendor):
            await is_live(page)
        before = await minutes_of(guest, "Speeches")
        await row(planner, "Speeches").get_by_test_id("shift-15").click()
        for page in (guest, vendor, planner):
            await expect(row(page, "Speeches").locator("time")).to_have_text(shown(before + 15))
            await expect(row(page, "Speeches").get_by_test_id("shifted")).to_have_text("+15 min")
        await expect(vendor.get_by_test_id("feed")).to_contain_text("Sam the planner moved Speeches by +15 min")
        await row(planner, "Cake").get_by_test_id("done").click()
        await expect(row(guest, "Cake")).to_have_attribute("data-status", "completed")
        await row(planner, "Cake").get_by_test_id("reopen").click()
        await expect(row(guest, "Cake")).to_have_attribute("data-status", "pending")

        await vendor.get_by_test_id("say").fill("<b>Sound check done</b>")
        await vendor.get_by_test_id("send").click()
        await expect(planner.get_by_test_id("messages")).to_contain_text("<b>Sound check done</b>")
        await guest.get_by_test_id("say").fill("Where is the bar?")
        await guest.get_by_test_id("send").click()
        await vendor.get_by_test_id("to-everyone").click()
        await expect(vendor.get_by_test_id("messages")).to_contain_text("Where is the bar?")
        await expect(planner.get_by_test_id("people")).to_contain_text("DJ")

        html = await guest.content()
        assert [word for word in ("Sound check", "Strike", "Surprise fireworks", "chat.crew") if word in html] == []
        assert "Surprise fireworks" not in await vendor.content()
        await expect(row(planner, "Surprise fireworks")).to_be_visible()
        assert await guest.evaluate("document.documentElement.scrollWidth") <= 390


async def test_a_refusal_is_told_in_a_sentence(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        planner = await home.planner(await home.person())
        await is_live(planner)
        await row(planner, "Cake").evaluate("row => row.dataset.item = 999999")
        await planner.locator('[data-item="999999"]').get_by_test_id("shift-5").click()
        await expect(planner.get_by_test_id("toast")).to_contain_text("There is no such item on this run sheet.")
        await expect(planner.get_by_test_id("waiting")).to_be_hidden()
        guest = await home.joined(await home.person(), "guest: Maya")
        await is_live(guest)
        await guest.get_by_test_id("say").fill("नमस्ते " * 280)  # 2,000 characters that are more bytes than a guest may send
        await guest.get_by_test_id("send").click()
        await expect(guest.get_by_test_id("toast")).to_contain_text("too long")
        await is_live(guest)


async def test_a_killed_server_comes_back_and_what_was_done_meanwhile_is_stored_once(
    processes: Processes, chromium: str
) -> None:
    async with house(processes, chromium) as home:
        planner = await home.planner(await home.person())
        guest = await home.joined(await home.person(), "guest: Maya")
        for page in (planner, guest):
            await is_live(page)
        before = await minutes_of(guest, "Speeches")
        home.server.kill()
        connection = planner.get_by_test_id("connection")
        await expect(connection).to_have_attribute("data-state", "connecting")
        await expect(connection).to_contain_text(re.compile(r"Reconnecting since \d\d:\d\d:\d\d"))
        button = row(planner, "Speeches").get_by_test_id("shift-5")
        await button.click()
        await button.click(force=True)  # impatient: it waits already
        await expect(row(planner, "Speeches").get_by_test_id("sending")).to_have_text("+5 min: waiting to be sent")
        await expect(planner.get_by_test_id("waiting")).to_have_text("1 waiting to be sent")
        await asyncio.to_thread(processes.server, home.server.port)
        for page in (planner, guest):
            await is_live(page, 40)
            await expect(row(page, "Speeches").locator("time")).to_have_text(shown(before + 5))
        await expect(planner.get_by_test_id("waiting")).to_be_hidden()
        assert len(home.shifts()) == 1


async def test_a_publication_made_offline_survives_a_reload(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        planner = await home.planner(await home.person())
        await is_live(planner)
        reachable = False

        async def way(socket: WebSocketRoute) -> None:
            if reachable:
                socket.connect_to_server()
            else:
                await socket.close()

        await planner.route_web_socket(re.compile("/ws/weddings/"), way)
        await planner.reload()
        before = await minutes_of(planner, "Speeches")
        await row(planner, "Speeches").get_by_test_id("shift-5").click()
        await expect(planner.get_by_test_id("waiting")).to_have_text("1 waiting to be sent")
        await planner.reload()
        await expect(planner.get_by_test_id("waiting")).to_have_text("1 waiting to be sent")
        await expect(row(planner, "Speeches").locator("time")).to_have_text(shown(before))
        reachable = True
        await is_live(planner, 40)
        await expect(row(planner, "Speeches").locator("time")).to_have_text(shown(before + 5))
        await expect(planner.get_by_test_id("waiting")).to_be_hidden()
        await planner.reload()
        await is_live(planner)
        assert len(home.shifts()) == 1


async def test_a_planner_sees_within_seconds_that_the_server_is_silent(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        planner = await home.planner(await home.person())
        await is_live(planner)
        os.kill(home.server.process.pid, signal.SIGSTOP)
        try:
            await expect(planner.get_by_test_id("connection")).to_have_attribute("data-state", "connecting", timeout=5_000)
        finally:
            os.kill(home.server.process.pid, signal.SIGCONT)
        await is_live(planner, 30)


async def test_somebody_revoked_is_told_so_and_stays_away(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        context = await home.person()
        guest = await home.joined(context, "guest: Maya")
        await is_live(guest)
        revoke = 'from wedsync.weddings.models import Member; Member.objects.filter(name="Maya").update(revoked=True)'
        await asyncio.to_thread(processes.manage, "shell", "-c", revoke)
        await expect(guest.get_by_test_id("connection")).to_have_attribute("data-state", "over", timeout=10_000)
        await expect(guest.get_by_test_id("connection")).to_contain_text("You are no longer connected.")
        await guest.reload()
        assert "/login/" in guest.url


async def test_without_javascript_the_plan_is_there(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        guest = await home.joined(await home.person(java_script_enabled=False), "guest: Maya")
        await expect(row(guest, "Ceremony").locator("time")).to_have_text("14:35")
        await expect(guest.get_by_test_id("say")).to_be_hidden()
        await expect(guest.get_by_test_id("connection")).to_contain_text("As of")


@pytest.mark.parametrize("width", [390, 1280])
async def test_pages_are_small_quiet_and_fit(processes: Processes, chromium: str, width: int) -> None:
    async with house(processes, chromium) as home:
        context = await home.person(viewport={"width": width, "height": 844})
        n_bytes = 0
        said: list[str] = []

        async def count(response: Any) -> None:
            nonlocal n_bytes
            if response.status == 200:
                n_bytes += len(await response.body())

        context.on("response", count)
        context.on("console", lambda message: said.append(message.text))
        planner = await home.planner(context)
        await is_live(planner)
        for path in ("/", "/weddings/rose-garden/", "/weddings/two-day-sangeet/", "/join/nonsense/"):
            await planner.goto("about:blank")
            n_bytes = 0
            await planner.goto(path)
            await planner.wait_for_load_state("networkidle")
            assert 0 < n_bytes < PAGE_MAX_BYTES, path
            assert await planner.evaluate("document.documentElement.scrollWidth") <= width, path
        assert [line for line in said if "404" not in line] == [], "a policy was broken, or a script failed"


RECORD_STATES = """
window.states = [];
new MutationObserver(() => window.states.push(document.querySelector("[data-testid=connection]").dataset.state))
  .observe(document.querySelector("[data-testid=connection]"), { attributes: true, attributeFilter: ["data-state"] });
"""


async def test_nobody_looking_at_a_page_notices_a_deploy(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium, fleet=True) as home:
        planner = await home.planner(await home.person())
        guest = await home.joined(await home.person(), "guest: Maya")
        for page in (planner, guest):
            await is_live(page)
            await page.evaluate(RECORD_STATES)
        deploy = asyncio.create_task(asyncio.to_thread(processes.manage, "deploy"))
        before, number = await minutes_of(guest, "Speeches"), 0
        while not deploy.done():
            number += 1
            await row(planner, "Speeches").get_by_test_id("shift-5").click()
            await expect(row(guest, "Speeches").locator("time")).to_have_text(shown(before + 5 * number))
        await deploy
        assert number > 3
        for page in (planner, guest):
            assert set(await page.evaluate("window.states")) <= {"live"}
        assert len(home.shifts()) == number
