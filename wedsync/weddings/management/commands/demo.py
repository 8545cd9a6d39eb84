"""`manage.py demo`: three weddings to look at, on today's date."""

from __future__ import annotations

import json
import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.table import Table

from realtime.clock import SystemClock
from wedsync.weddings.demo import place


class Command(BaseCommand):
    help = (
        "Create the demo weddings, or move them to today's date (then their history starts anew; the same day changes nothing). "
        "Logins, join links and API tokens are kept in var/logins.json, readable by you alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        placed = place(SystemClock().now())
        path = settings.VAR_DIR / "logins.json"
        known = json.loads(path.read_text()) if path.exists() else {"passwords": {}, "weddings": {}}
        known["passwords"] |= placed["passwords"]
        for slug, wedding in placed["weddings"].items():
            token = wedding["api_token"] or known["weddings"].get(slug, {}).get("api_token")
            known["weddings"][slug] = wedding | {"api_token": token}
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(known, file, indent=1)
        if options["json"]:
            self.stdout.write(json.dumps(known))
        else:
            self._show(known)

    def _show(self, known: dict[str, Any]) -> None:
        console = Console(file=self.stdout._out, highlight=False)  # type: ignore[attr-defined]
        for name, password in known["passwords"].items():
            console.print(f"log in as [bold]{name}[/bold] with [bold]{password}[/bold]")
        table = Table("wedding", "page", "join as guest", "join as vendor")
        for slug, wedding in known["weddings"].items():
            joins = wedding["joins"]
            first = {role: next((path for who, path in joins.items() if who.startswith(role)), "") for role in ("guest", "vendor")}
            table.add_row(f"{wedding['names']} ({slug})", wedding["page"], first["guest"], first["vendor"])
        console.print(table)
