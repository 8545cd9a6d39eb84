"""`manage.py import_calendar FILE`: many weddings at once."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from wedsync.weddings.calendars import COLUMNS, read, store
from wedsync.weddings.importing import read_file


class Command(BaseCommand):
    help = (
        "Create or update weddings from a CSV file, all of them or, when a line has a mistake, none. Importing the same file "
        f"again changes nothing. Columns: {', '.join(COLUMNS)}; times are local to the venue."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE")
        parser.add_argument("--dry-run", action="store_true", help="only say what is in the file")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = read_file(options["file"], read)
        done = {"read": len(rows)} if options["dry_run"] else store(rows)
        if options["json"]:
            self.stdout.write(json.dumps(done))
        else:
            self.stdout.write(", ".join(f"{count} {what}" for what, count in done.items()))
