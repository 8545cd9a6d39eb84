"""`script/screenshots`: every page of the demo in the middle of its day, at two widths, light and dark, as small WebP files."""

from __future__ import annotations

import asyncio
import io
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

from tests.browser import ARGS
from tests.processes import ROOT, Processes, Server
from tests.screenshots_dashboard import visit_operators

FOLDER = ROOT / "docs" / "screens"
SIZES = {390: 844, 1280: 900}
QUALITY = 60
"""Of WebP: text stays sharp, a page stays under 100 KB."""
SCENE = """
from datetime import timedelta
from zoneinfo import ZoneInfo
from django.utils import timezone
from realtime.publish import publish
from realtime.messages import Sender
from wedsync.weddings.models import Member, RunSheetItem, Wedding

ZONES = (
    "Pacific/Pago_Pago", "Pacific/Honolulu", "America/Anchorage", "America/Los_Angeles", "America/Denver",
    "America/Chicago", "America/New_York", "America/Halifax", "America/Sao_Paulo", "Atlantic/South_Georgia",
    "Atlantic/Azores", "Atlantic/Reykjavik", "Africa/Algiers", "Africa/Johannesburg", "Africa/Nairobi",
    "Asia/Dubai", "Asia/Karachi", "Asia/Dhaka", "Asia/Bangkok", "Asia/Singapore", "Asia/Tokyo",
    "Australia/Brisbane", "Pacific/Noumea", "Pacific/Auckland", "Pacific/Tongatapu", "Pacific/Kiritimati",
)
room = "rose-garden"
wedding = Wedding.objects.get(slug=room)
# Wherever it is between four and five in the afternoon now.
now = timezone.now()
wedding.timezone = next(zone for zone in ZONES if now.astimezone(ZoneInfo(zone)).hour == 16)
moved = now.astimezone(wedding.zone).replace(hour=14, minute=35, second=0, microsecond=0) - wedding.ceremony_at
wedding.ceremony_at += moved
wedding.save()
for item in wedding.items.all():
    item.start += moved
    item.save()
who = {m.name: Sender(m.public_id, m.role, m.name) for m in wedding.members.all()}
item = {i.title: i.pk for i in wedding.items.all()}
sam = who["Sam the planner"]
for i in wedding.items.order_by("start"):
    if i.start + timedelta(minutes=i.minutes) <= now and i.kind != "buffer":
        kind = "cue.go" if i.kind == "cue" else "timeline.event"
        publish(room, kind, {"item": i.pk} if i.kind == "cue" else {"item": i.pk, "status": "completed"}, sender=sam)
for name in ("DJ", "Officiant"):
    publish(room, "seen", {"about": f"cue {item['Processional cue']}"}, sender=who[name])
for member in wedding.members.filter(role="vendor"):
    status = {"vendor": member.title, "status": "on_site"}
    if member.title == "caterer":
        status |= {"status": "delayed", "delay_minutes": 15, "reason": "van stuck at the gate"}
    if member.title != "videographer":
        publish(room, "vendor.status", status, sender=who[member.name])
for n in range(41):
    publish(room, "guest.checkin", {"guest": f"g{n}", "party": 2, "door": "Main gate"}, sender=sam)
publish(room, "issue.report", {"issue": "i1", "title": "Two chairs short at table 7", "severity": "medium",
        "category": "logistics", "owner": "Venue", "state": "working"}, sender=who["Venue"])
rain = {"issue": "i2", "title": "Rain expected at seven", "severity": "high", "category": "weather"}
publish(room, "issue.report", rain, sender=sam)
publish(room, "timeline.shift", {"item": item["Speeches"], "minutes": 10, "reason": "kitchen needs longer"}, sender=sam)
publish(room, "announcement", {"text": "Dinner is served in the garden marquee. Please find your table."}, sender=sam)
for name, text in (
    ("DJ", "Sound check done, microphones are live."),
    ("Caterer", "Starters in ten minutes."),
    ("Sam the planner", "Thank you. Speeches move ten minutes."),
):
    publish(room, "chat.crew", {"text": text}, sender=who[name])
for name, text in (("Maya", "What a ceremony!"), ("Jonas", "Is there parking left at the lake?")):
    publish(room, "chat.guests", {"text": text}, sender=who[name])
"""
ALARM = """
from realtime.publish import publish
from realtime.messages import Sender
from wedsync.weddings.models import Member
sam = Member.objects.get(name="Sam the planner", wedding__slug="rose-garden")
dj = Member.objects.get(name="DJ", wedding__slug="rose-garden")
alert = {"alert": "a1", "category": "weather_shelter", "text": "Please go into the marquee now.", "where": "Garden marquee"}
publish("rose-garden", "emergency.alert", alert, sender=Sender(sam.public_id, "planner", sam.name))
publish("rose-garden", "seen", {"about": "emergency a1"}, sender=Sender(dj.public_id, "vendor", dj.name))
"""


async def main(folder: Path) -> None:
    with TemporaryDirectory() as scratch, Processes(Path(scratch)) as processes:
        logins = processes.demo()
        processes.manage("shell", "-v0", "-c", SCENE)
        server = processes.server()
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGS)
            for scheme in ("light", "dark"):
                for width in SIZES:
                    await _visit(browser, server, logins, folder, width, scheme)
            processes.manage("shell", "-v0", "-c", ALARM)
            for width in SIZES:
                await _visit(browser, server, logins, folder, width, "light", "-emergency")
            server.stop()
            await visit_operators(processes, browser, folder, SIZES, QUALITY)
            await _visit_days(processes, browser, folder)
            await browser.close()


async def _visit_days(processes: Processes, browser: Browser, folder: Path) -> None:
    """A Saturday in June and the one before the clocks change, as the scaler would have them."""
    calendar = str(ROOT / "wedsync/weddings/demo/calendar/saturday-june.csv")
    fleet = ("--connections", "1100", "--capacity", "150", "--max-workers", "8")
    for name, day in (("june", "2027-06-12"), ("clock-change", "2027-11-06")):
        html = processes.folder / f"{name}.html"
        processes.manage("scale", "--simulate", calendar, "--date", day, *fleet, "--html", str(html))
        for width, height in SIZES.items():
            for scheme in ("light", "dark"):
                page = await browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
                await page.goto(html.as_uri())
                image = Image.open(io.BytesIO(await page.screenshot(full_page=True))).convert("RGB")
                image.save(folder / f"day-{name}-{width}-{scheme}.webp", quality=QUALITY, method=6)
                await page.close()


async def _visit(
    browser: Browser, server: Server, logins: dict[str, Any], folder: Path, width: int, scheme: Any, more: str = ""
) -> None:
    """All pages at one width in one scheme; with `more` only the live ones, under a name of their own."""
    joins = logins["weddings"]["rose-garden"]["joins"]

    async def person() -> Page:
        size = {"width": width, "height": SIZES[width]}
        context = await browser.new_context(base_url=server.url, viewport=size, color_scheme=scheme, reduced_motion="reduce")
        return await context.new_page()

    async def shoot(page: Page, name: str, *, whole: bool = False) -> None:
        raw = await page.screenshot(full_page=whole)
        image = Image.open(io.BytesIO(raw)).convert("RGB")
        image.save(folder / f"{name}{more}-{width}-{scheme}.webp", quality=QUALITY, method=6)

    async def live(page: Page, name: str) -> None:
        await page.wait_for_selector('[data-testid="connection"][data-state="live"]')
        await page.wait_for_timeout(2_500)  # the receipts of everybody
        await shoot(page, name, whole=name == "board" and not more)

    visitors = []
    for name, key in (("vendor", "vendor: DJ"), ("guest", "guest: Maya"), ("display", "display: Photo wall")):
        page = await person()
        await page.goto(joins[key])
        if name == "guest" and not more:
            await shoot(page, "join")
        await page.get_by_test_id("join").click()
        visitors.append((page, name))
    planner = await person()
    await planner.goto("/")
    if not more:
        await shoot(planner, "welcome")
    await planner.goto("/login/")
    if not more:
        await shoot(planner, "login")
    await planner.fill("#id_username", "planner")
    await planner.fill("#id_password", logins["passwords"]["planner"])
    await planner.get_by_test_id("login").click()
    if not more:
        await shoot(planner, "weddings")
        await planner.goto("/weddings/nowhere/")
        await shoot(planner, "404")
    await planner.goto("/weddings/rose-garden/")
    await planner.wait_for_selector('[data-testid="connection"][data-state="live"]')
    await visitors[0][0].get_by_test_id("arrived-here").click()  # so that there is a last change to be measured
    await live(planner, "board")
    if not more:
        await planner.get_by_test_id("behind-minutes").fill("15")
        await planner.get_by_text("items move").or_(planner.get_by_text("1 item moves")).first.wait_for()
        await planner.locator("#behind").scroll_into_view_if_needed()
        await shoot(planner, "behind")
    for page, name in visitors:
        await live(page, name)
        await page.context.close()
    await planner.context.close()


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target))
