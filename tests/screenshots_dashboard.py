"""The pages of the operators for `tests.screenshots`: a fleet of two with a Saturday played on it."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.async_api import Browser, Page

from tests.processes import Processes, Server

OPERATOR = """
from django.contrib.auth import get_user_model
get_user_model().objects.create_superuser("ada", password="at the desk")
"""
LOAD = ("--profile", "sat-june-10k-x10", "--connections", "300")
PAGES = {"dashboard": "", "history": "history/", "wedding": "weddings/load-0/", "pin": "pin/"}
WHOLE = ("dashboard", "history")


async def visit_operators(processes: Processes, browser: Browser, folder: Path, sizes: dict[int, int], quality: int) -> None:
    """Each page at each width, light and dark, while the load is on."""
    processes.manage("shell", "-v0", "-c", OPERATOR)
    processes.manage("drill", "seed", *LOAD)
    server = processes.fleet()
    played = ["manage.py", "drill", "load", *LOAD, "--minutes", "1.5", "--url", server.url, "--json"]
    drill = processes.start(sys.executable, *played, name="drill")
    await asyncio.sleep(40)  # the charts of the last minutes have something to show
    for scheme in ("light", "dark"):
        for width, height in sizes.items():
            await _look(browser, server, folder, (width, height), scheme, quality)
    drill.terminate()


async def _look(browser: Browser, server: Server, folder: Path, size: tuple[int, int], scheme: Any, quality: int) -> None:
    viewport: Any = {"width": size[0], "height": size[1]}
    context = await browser.new_context(base_url=server.url, viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    page: Page = await context.new_page()
    await page.goto("/admin/login/?next=/admin/monitoring/")
    await page.fill("#id_username", "ada")
    await page.fill("#id_password", "at the desk")
    await page.keyboard.press("Enter")
    for name, path in PAGES.items():
        if name != "dashboard":
            await page.goto(f"/admin/monitoring/{path}")
            await page.wait_for_load_state("networkidle")
        else:
            await page.wait_for_selector('[data-testid="live"][data-state="live"]')
            await page.wait_for_timeout(2_500)
        raw = await page.screenshot(full_page=name in WHOLE)
        image = Image.open(io.BytesIO(raw)).convert("RGB")
        image.save(folder / f"ops-{name}-{size[0]}-{scheme}.webp", quality=quality, method=6)
    await context.close()
