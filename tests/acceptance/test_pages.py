"""The pages in a real browser against a real server: side by side, through a killed server, a silent one, and a reload."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, WebSocketRoute, expect

from tests.browser import House, house, is_live, row, until
from tests.processes import ROOT, Processes

pytestmark = [pytest.mark.acceptance, pytest.mark.unhurried, pytest.mark.xdist_group("browsers")]

SATURDAY = (ROOT / "wedsync/weddings/demo/calendar/saturday-june.csv").read_bytes()
PAGE_MAX_BYTES = 150_000
KEPT = "async () => await (await caches.open('wedsync')).match(location.href) !== undefined"
STATE_KEPT = """async () => {
  const kept = await (await caches.open('wedsync')).match(location.pathname + 'state');
  return kept !== undefined && (await kept.json()).snapshot.items.some((item) => item.title === 'Cake' && item.planned);
}"""
OWN_KEPT = """async () => {
  const owner = await (await caches.open('wedsync')).match(location.pathname + 'owner');
  return (await owner?.text()) === JSON.parse(document.getElementById('start').textContent).member;
}"""
NOTHING_KEPT = """async () => {
  if (!(await caches.has('wedsync'))) return true;
  return (await (await caches.open('wedsync')).keys()).every((request) => request.url.includes('/static/'));
}"""
ALL_KEPT = """async () => {
  const kept = await caches.open('wedsync');
  const pages = (await kept.keys()).filter((request) => !request.url.includes('/static/'));
  return Promise.all(pages.map(async (request) => request.url + (await (await kept.match(request)).text())));
}"""
FORBIDDEN = """
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.test import RequestFactory
from django.views.defaults import permission_denied
request = RequestFactory().get("/forbidden/")
request.user = AnonymousUser()
print(permission_denied(request, PermissionDenied()).content.decode())
"""
A_DAY_LATE = """
from datetime import timedelta
from django.db.models import F
from wedsync.weddings.models import RunSheetItem
RunSheetItem.objects.update(start=F("start") - timedelta(days=1))
"""


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


async def test_what_is_done_long_after_its_time_stays_in_sight_to_be_taken_back(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        processes.manage("shell", "-v0", "-c", A_DAY_LATE)
        planner = await home.planner(await home.person())
        guest = await home.joined(await home.person(), "guest: Maya")
        for page in (planner, guest):
            await is_live(page)
        await row(planner, "Cake").get_by_test_id("done").click()
        for page in (planner, guest):
            await expect(row(page, "Cake")).to_have_attribute("data-status", "completed")
        await row(planner, "Cake").get_by_test_id("reopen").click()
        await expect(row(guest, "Cake")).to_have_attribute("data-status", "pending")
        await row(planner, "Cake").get_by_test_id("done").click()
        await expect(row(guest, "Cake")).to_have_attribute("data-status", "completed")
        await guest.reload()  # who comes later sees a day that is over as it is: out of the way
        await is_live(guest)
        await expect(row(guest, "Cake")).to_have_count(0)
        await guest.get_by_role("button", name="Show 1 that is over").click()
        await expect(row(guest, "Cake")).to_have_attribute("data-status", "completed")


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
        assert len(home.entries("timeline.shift")) == 1


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
        assert len(home.entries("timeline.shift")) == 1


async def test_the_page_opens_without_a_server_and_takes_what_is_done_on_it(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        planner = await home.planner(await home.person())
        await is_live(planner)
        await row(planner, "Cake").get_by_test_id("shift-5").click()
        before = await minutes_of(planner, "Speeches")
        await until(planner, KEPT)
        await until(planner, STATE_KEPT)
        home.server.kill()
        await planner.goto("/weddings/rose-garden/")
        await expect(planner.get_by_test_id("connection")).to_contain_text("No connection: as last seen here")
        await expect(row(planner, "Cake").get_by_test_id("shifted")).to_have_text("+5 min")
        await row(planner, "Speeches").get_by_test_id("shift-5").click()
        await expect(planner.get_by_test_id("waiting")).to_have_text("1 waiting to be sent")
        await asyncio.to_thread(processes.server, home.server.port)
        await is_live(planner, 40)
        await expect(row(planner, "Speeches").locator("time")).to_have_text(shown(before + 5))
        assert [entry[3]["minutes"] for entry in home.entries("timeline.shift")] == [5, 5]
        await planner.get_by_test_id("logout").click()
        await expect(planner.get_by_test_id("sentence")).to_be_visible()
        assert await planner.evaluate("caches.keys()") == [], "nobody reads it here after that"


async def test_logging_out_anywhere_ends_other_tabs_and_leaves_nothing_on_the_device(
    processes: Processes, chromium: str
) -> None:
    async with house(processes, chromium) as home:
        board = await home.planner(await home.person())
        await is_live(board)
        await until(board, KEPT)
        mine = await board.context.new_page()
        await mine.goto("/")
        await mine.get_by_test_id("logout").click()
        await expect(mine.get_by_test_id("sentence")).to_contain_text("Log in")
        await expect(board).to_have_url(re.compile("/login/"))
        await until(board, NOTHING_KEPT)


async def test_what_a_closed_tab_has_left_is_sent_by_another_one(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        context = await home.person()
        first = await home.joined(context, "vendor: DJ")
        second = home.watched(await context.new_page())
        await second.goto(first.url)
        for page in (first, second):
            await is_live(page)
        await context.set_offline(True)
        for page in (first, second):
            await expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "offline")
        await first.get_by_test_id("arrived-here").click()
        await expect(first.get_by_test_id("waiting")).to_have_text("1 waiting to be sent")
        await first.close()
        await context.set_offline(False)
        await expect(second.get_by_test_id("mystate")).to_contain_text("You are here. Everybody knows")
        await expect(second.get_by_test_id("waiting")).to_be_hidden()
        assert len(home.entries("vendor.status")) == 1


async def test_without_a_database_of_the_browser_it_says_that_the_page_must_stay_open(
    processes: Processes, chromium: str
) -> None:
    async with house(processes, chromium) as home:
        context = await home.person()
        await context.add_init_script("Object.defineProperty(window, 'indexedDB', { get() { throw new Error('private') } })")
        vendor = await home.joined(context, "vendor: DJ")
        await is_live(vendor)
        await context.set_offline(True)
        await vendor.get_by_test_id("arrived-here").click()
        await expect(vendor.get_by_test_id("waiting")).to_have_text("1 waiting to be sent: keep this page open")
        await context.set_offline(False)
        await expect(vendor.get_by_test_id("waiting")).to_be_hidden()
        assert len(home.entries("vendor.status")) == 1


async def test_on_the_tablet_of_the_planner_a_guest_finds_nothing_of_hers(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        context = await home.person()
        planner = await home.planner(context)
        await is_live(planner)
        await until(planner, KEPT)
        await row(planner, "Cake").get_by_test_id("shift-5").click()
        await until(planner, STATE_KEPT)
        assert any("Surprise fireworks" in page for page in await planner.evaluate(ALL_KEPT))
        await planner.close()
        await context.clear_cookies()  # the session was over; she has not logged out
        guest = await home.joined(context, "guest: Maya")
        await is_live(guest)
        for condition in (OWN_KEPT, KEPT, STATE_KEPT):
            await until(guest, condition)
        kept = await guest.evaluate(ALL_KEPT)
        assert (
            len(kept) >= 2
            and [word for word in ("Surprise fireworks", "Strike", "notes") if any(word in k for k in kept)] == []
        )


LONG = """
from datetime import timedelta
from wedsync.weddings.models import Member, RunSheetItem, Wedding
wedding = Wedding.objects.get(slug="rose-garden")
name = "Alexandrina-Maximiliane von Hohenstein-Wittgenberg & Bartholomew Featherstonehaugh-Cholmondeley III"
zone = "America/Argentina/ComodRivadavia"
Wedding.objects.filter(pk=wedding.pk).update(names="W" * 130, venue=name, timezone=zone, invited_guests=0)
for n in range(30):
    Member.objects.create(wedding=wedding, name=f"{name} {n}", role="vendor", title=f"trade {n}")
for n in range(60):
    start = wedding.ceremony_at + timedelta(minutes=n)
    RunSheetItem.objects.create(wedding=wedding, title=f"Cue {n}", start=start, minutes=5, kind="cue", who=["trade 1"])
"""


async def test_long_names_fit_and_long_lists_are_one_tap_away(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        await asyncio.to_thread(processes.manage, "shell", "-v0", "-c", LONG)
        look: dict[str, Any] = {"viewport": {"width": 390, "height": 844}}
        planner = await home.planner(await home.person(**look))
        stranger = await (await home.person(**look)).new_page()
        await stranger.goto(home.logins["weddings"]["rose-garden"]["joins"]["guest: Chloe"])
        pages = [planner, stranger]
        pages += [
            await home.joined(await home.person(**look), who) for who in ("vendor: DJ", "guest: Maya", "display: Photo wall")
        ]
        for page in pages:
            if page is not stranger:
                await is_live(page)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390, page.url
        await pages[-1].goto("/")
        assert await pages[-1].evaluate("document.documentElement.scrollWidth") <= 390, "the list of weddings"
        cues = planner.get_by_test_id("cues")
        total = await cues.locator("li").count()
        assert total > 60 and await cues.locator("li:visible").count() <= 12
        more = planner.locator("#cues").get_by_role("button", name=f"Show all {total}")
        await more.focus()
        await planner.keyboard.press("Enter")
        assert await cues.locator("li:visible").count() == total
        await planner.locator("#cues").get_by_role("button", name="Show fewer").click()
        assert await cues.locator("li:visible").count() <= 12


async def test_the_board_works_with_the_keyboard_alone(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        planner = await home.planner(await home.person())
        await is_live(planner)
        focused = "document.activeElement.dataset.testid ?? document.activeElement.className"
        await planner.keyboard.press("Tab")
        assert await planner.evaluate(focused) == "skip"
        for _ in range(60):
            await planner.keyboard.press("Tab")
            outline = await planner.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", await planner.evaluate(focused)
            if await planner.evaluate(focused) == "emergency":
                break
        await planner.keyboard.press("Enter")
        await expect(planner.get_by_test_id("emergency-form")).to_be_visible()
        await planner.keyboard.press("Escape")
        await expect(planner.get_by_test_id("emergency-form")).to_be_hidden()
        assert await planner.evaluate(focused) == "emergency"
        here = planner.get_by_test_id("vendors").get_by_role("button").first
        await here.focus()
        await planner.keyboard.press("Enter")
        await expect(planner.get_by_test_id("vendors").locator("li").first).to_contain_text("Here since")
        assert await planner.evaluate("document.activeElement !== document.body"), "the focus is not lost with its button"


async def test_a_planner_sees_within_seconds_that_the_server_is_silent(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        planner = await home.planner(await home.person())
        await is_live(planner)
        os.kill(home.server.process.pid, signal.SIGSTOP)
        try:
            await expect(planner.get_by_test_id("connection")).to_have_attribute("data-state", "connecting", timeout=10_000)
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
        await expect(guest.get_by_test_id("connection")).to_have_attribute("data-state", "over")
        await expect(guest.get_by_test_id("connection")).to_contain_text("You are no longer connected.")
        await guest.reload()
        assert "/login/" in guest.url


async def test_without_javascript_the_plan_is_there(processes: Processes, chromium: str) -> None:
    async with house(processes, chromium) as home:
        guest = await home.joined(await home.person(java_script_enabled=False), "guest: Maya")
        await expect(row(guest, "Ceremony").locator("time")).to_have_text("14:35")
        await expect(guest.get_by_test_id("say")).to_be_hidden()
        await expect(guest.get_by_test_id("connection")).to_contain_text("As of")


async def admin_pages(home: House, look: dict[str, Any]) -> dict[str, Page]:
    """The admin as far as it is about weddings, each page in a tab of its own."""
    context = await home.person(**look | {"viewport": {"width": 1280, "height": 900}})
    pages = {"admin login": await context.new_page()}
    await pages["admin login"].goto("/admin/login/")
    page = await context.new_page()
    await home.log_in(page, "admin")
    await expect(page.get_by_test_id("logout")).to_be_visible()
    await page.close()
    change = "/admin/weddings/{}/?q={}"
    for model, words in (("wedding", "rose"), ("member", "DJ"), ("runsheetitem", "Speeches"), ("apitoken", "")):
        pages[f"admin {model}"] = page = await context.new_page()
        await page.goto(change.format(model, words))
        pages[f"admin {model} change"] = form = await context.new_page()
        await form.goto(await page.locator("#result_list th a").first.get_attribute("href") or "")
    page = pages["admin import"] = await context.new_page()
    await page.goto("/admin/weddings/wedding/import-calendar/")
    for name, table in (("preview", SATURDAY), ("mistakes", b"slug,venue")):
        page = pages[f"admin import {name}"] = await context.new_page()
        await page.goto("/admin/weddings/wedding/import-calendar/")
        table_file = {"name": "calendar.csv", "mimeType": "text/csv", "buffer": table}
        await page.set_input_files("input[type=file]", [table_file])  # type: ignore[list-item]
        await page.get_by_role("button", name="Preview").click()
        await expect(
            page.get_by_role("heading", name="This would change" if name == "preview" else "nothing was changed")
        ).to_be_visible()
    for page in pages.values():
        await page.wait_for_load_state("networkidle")
    return pages


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_on_any_page(processes: Processes, chromium: str, scheme: str) -> None:
    """Everything a person may meet, with every part of the pages open, an emergency among it."""
    async with house(processes, chromium) as home:
        look: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": 390, "height": 844}, "reduced_motion": "reduce"}
        found: dict[str, list[str]] = {}

        async def check(page: Page, name: str) -> None:
            results = await Axe().run(page)
            assert len(results.response["passes"]) > 10, f"axe has looked at {name}"
            found[name] = [f"{v['id']}: {[n['html'][:160] for n in v['nodes']]}" for v in results.response["violations"]]

        stranger = await (await home.person(**look)).new_page()
        for name, path in (("welcome", "/"), ("404", "/nothing/"), ("no such link", "/join/nonsense/"), ("login", "/login/")):
            await stranger.goto(path)
            await check(stranger, name)
        forbidden = await asyncio.to_thread(processes.manage, "shell", "-v0", "-c", FORBIDDEN)
        await stranger.route("**/forbidden/", lambda route: route.fulfill(status=403, body=forbidden, content_type="text/html"))
        await stranger.goto("/forbidden/")
        await check(stranger, "403")
        await stranger.goto("/login/")
        await stranger.context.clear_cookies()
        await stranger.fill("#id_username", "planner")
        await stranger.fill("#id_password", "x")
        await stranger.get_by_test_id("login").click()
        await expect(stranger.get_by_role("heading", name="This form was open for too long")).to_be_visible()
        await check(stranger, "403 of an old form")
        await stranger.goto(home.logins["weddings"]["rose-garden"]["joins"]["guest: Maya"])
        await check(stranger, "join")
        planner = await home.planner(await home.person(**look))
        await is_live(planner)
        await planner.get_by_test_id("report-open").click()
        await planner.get_by_test_id("behind-minutes").fill("15")
        await expect(planner.get_by_test_id("preview")).to_contain_text("move")
        await check(planner, "board")
        await planner.get_by_test_id("emergency").click()
        await check(planner, "the question before an emergency")
        await planner.get_by_test_id("emergency-text").fill("Please come into the marquee")
        await planner.get_by_test_id("emergency-send").click()
        await expect(planner.get_by_test_id("reach")).to_contain_text("Not reached")
        await check(planner, "board in an emergency")
        for who in ("couple: Ana", "vendor: DJ", "guest: Maya", "display: Photo wall"):
            page = await home.joined(await home.person(**look), who)
            await is_live(page)
            for summary in await page.locator("summary").all():
                await summary.click()
            await check(page, who)
        await planner.goto("/")
        await check(planner, "my weddings")
        for name, page in (await admin_pages(home, look)).items():
            await check(page, name)
        assert found == dict.fromkeys(found, [])


@pytest.mark.parametrize("width", [390, 1280])
async def test_pages_are_small_quiet_and_fit(processes: Processes, chromium: str, width: int) -> None:
    async with house(processes, chromium) as home:
        said: list[str] = []
        weights: dict[str, int] = {}

        async def check(page: Page, name: str, path: str) -> None:
            n_bytes = 0

            def loaded(event: dict[str, Any]) -> None:
                nonlocal n_bytes
                n_bytes += event["encodedDataLength"]

            browser = await page.context.new_cdp_session(page)
            browser.on("Network.loadingFinished", loaded)
            await browser.send("Network.enable")
            await browser.send("Network.setCacheDisabled", {"cacheDisabled": True})
            await page.goto(path)
            await page.wait_for_load_state("networkidle")
            if await page.get_by_test_id("connection").count():
                await is_live(page)  # left while it connects it would complain
            weights[name] = n_bytes
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, name

        # Bytes are counted where the page asks for them; a service worker would ask in its place.
        look: dict[str, Any] = {"viewport": {"width": width, "height": 844}, "service_workers": "block"}
        context = await home.person(**look)
        context.on("console", lambda message: said.append(message.text))
        planner = await home.planner(context)
        await is_live(planner)
        for path in ("/", "/weddings/rose-garden/", "/weddings/two-day-sangeet/", "/join/nonsense/"):
            await check(planner, path, path)
        for who in ("couple: Ana", "vendor: DJ", "guest: Maya", "display: Photo wall"):
            context = await home.person(**look)
            context.on("console", lambda message: said.append(message.text))
            page = await home.joined(context, who)
            await is_live(page)
            await check(page, who, page.url)
            await is_live(page)
        print(weights)  # noqa: T201 - the figures of docs/screens.md
        assert len(weights) == 8 and all(3_000 < n_bytes < PAGE_MAX_BYTES for n_bytes in weights.values()), weights
        assert [line for line in said if "404" not in line and "blocked by Playwright" not in line] == [], (
            "a policy was broken, or a script failed"
        )


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
        number = 0
        while not deploy.done():
            number += 1
            await row(planner, "Speeches").get_by_test_id("shift-5").click()
            await expect(row(guest, "Speeches").get_by_test_id("shifted")).to_have_text(f"+{5 * number} min")
        await deploy
        assert number > 3
        for page in (planner, guest):
            assert set(await page.evaluate("window.states")) <= {"live"}
        assert len(home.entries("timeline.shift")) == number
