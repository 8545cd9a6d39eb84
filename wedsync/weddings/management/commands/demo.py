"""`manage.py demo`: three weddings to look at, on today's date."""

from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TypedDict

import msgspec
from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from realtime.clock import SystemClock
from realtime.management.shell import ShellCommand
from wedsync.weddings.demo import place
from wedsync.weddings.importing import database


class Door(TypedDict):
    """How people get into one wedding. `joins`: {who: path}."""

    names: str
    page: str
    joins: dict[str, str]
    api_token: str | None


class Logins(TypedDict):
    """What is in the file. `passwords`: {account: password}; `weddings`: {slug: its door}."""

    passwords: dict[str, str]
    weddings: dict[str, Door]


class Command(ShellCommand):
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
        known = _read(path)
        if not options["show"]:
            with database():
                placed = place(SystemClock().now())
            _merge(known, placed)
            _write(path, known)
        if options["json"]:
            self.stdout.write(json.dumps(known))
        elif not options["quiet"]:
            self._show(known, options["url"].rstrip("/"))

    def _show(self, known: Logins, url: str) -> None:
        """Two lines a wedding: a join link each for a guest and a vendor; logins; the admin."""
        say = self.stdout.write
        say(f"\nWedSync Realtime: {url}/" if url else "")
        for name, password in known["passwords"].items():
            say(f"  log in as {name:8} password {password}   {url}{'/admin/' if name == 'admin' else '/login/'}")
        for slug, wedding in known["weddings"].items():
            say(f"\n{wedding['names']} ({slug})  {url}{wedding['page']}")
            for role in ("guest", "vendor"):
                joins = ((who, path) for who, path in wedding["joins"].items() if who.startswith(f"{role}:"))
                for who, path in islice(joins, 1):
                    say(f"  join as {who:24} {url}{path}")
        say(f"\nAll join links and API tokens: {settings.VAR_DIR / 'logins.json'}")


def _read(path: Path) -> Logins:
    """What was kept; nothing when there is no file. Raises CommandError, status 2, for one that cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Logins)
    except FileNotFoundError:
        return {"passwords": {}, "weddings": {}}
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}", returncode=2) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        told = (
            f"{path} is damaged ({error}); move it away and run manage.py demo. The passwords are set anew with changepassword"
        )
        raise CommandError(told, returncode=2) from None


def _write(path: Path, known: Logins) -> None:
    """Whole or not at all, and for the owner alone whatever was there before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:  # made with mode 0600
        json.dump(known, file, indent=1)
    os.replace(file.name, path)


def _merge(known: Logins, placed: dict[str, Any]) -> None:
    """Passwords and tokens are told once, when they are made: keep those of before."""
    known["passwords"] |= placed["passwords"]
    for slug, wedding in placed["weddings"].items():
        before = known["weddings"].get(slug)
        token = wedding["api_token"] or (before["api_token"] if before else None)
        known["weddings"][slug] = wedding | {"api_token": token}
