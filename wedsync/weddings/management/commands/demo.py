"""`manage.py demo`: three weddings to look at, on today's date."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from realtime.clock import SystemClock
from wedsync.weddings.demo import place


class Command(BaseCommand):
    help = (
        "Create the demo weddings, or move them to today's date (their history starts anew; the same day changes nothing). "
        "Logins, join links and API tokens are kept in var/logins.json, readable by you alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--quiet", action="store_true", help="print nothing")
        parser.add_argument("--show", action="store_true", help="only print what is there, change nothing")
        parser.add_argument("--url", default="", help="where the server is, to print whole addresses")

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.VAR_DIR / "logins.json"
        known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"passwords": {}, "weddings": {}}
        if not options["show"]:
            _merge(known, place(SystemClock().now()))
            _write(path, known)
        if options["json"]:
            self.stdout.write(json.dumps(known))
        elif not options["quiet"]:
            self._show(known, options["url"].rstrip("/"))

    def _show(self, known: dict[str, Any], url: str) -> None:
        """Two lines a wedding: a join link each for a guest and a vendor; logins; the admin."""
        say = self.stdout.write
        say(f"\nWedSync Realtime: {url}/" if url else "")
        for name, password in known["passwords"].items():
            say(f"  log in as {name:8} password {password}   {url}{'/admin/' if name == 'admin' else '/login/'}")
        for slug, wedding in known["weddings"].items():
            say(f"\n{wedding['names']} ({slug})  {url}{wedding['page']}")
            for role in ("guest", "vendor"):
                who, path = next((w, p) for w, p in wedding["joins"].items() if w.startswith(f"{role}:"))
                say(f"  join as {who:24} {url}{path}")
        say(f"\nAll join links and API tokens: {settings.VAR_DIR / 'logins.json'}")


def _write(path: Path, known: dict[str, Any]) -> None:
    """Whole or not at all, and for the owner alone whatever was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:  # made with mode 0600
        json.dump(known, file, indent=1)
    os.replace(file.name, path)


def _merge(known: dict[str, Any], placed: dict[str, Any]) -> None:
    """Passwords and tokens are told once, when they are made: keep those of before."""
    known["passwords"] |= placed["passwords"]
    for slug, wedding in placed["weddings"].items():
        token = wedding["api_token"] or known["weddings"].get(slug, {}).get("api_token")
        known["weddings"][slug] = wedding | {"api_token": token}
