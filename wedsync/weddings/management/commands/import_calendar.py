"""`manage.py import_calendar FILE`: many weddings at once."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from realtime.management.shell import ShellCommand
from wedsync.weddings.calendars import COLUMNS, read, store
from wedsync.weddings.comparing import calendar_changes, counted, left_behind, staying_said
from wedsync.weddings.importing import bar, database, read_file, show_changes


class Command(ShellCommand):
    help = (
        "Create or update weddings from a CSV file, all of them or, when a line has a mistake, none. Importing the same file "
        f"again changes nothing. Columns: {', '.join(COLUMNS)}; times are local to the venue."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE")
        parser.add_argument("--dry-run", action="store_true", help="only say what would change")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = read_file(options["file"], read)
        with database():
            staying = left_behind(rows)
            if options["dry_run"]:
                changes = calendar_changes(rows)
                if not options["json"]:
                    return show_changes(self.stdout, changes)
                done = {"read": len(rows)} | counted(changes)
            else:
                with bar(f"{len(rows):,} weddings") as progress:
                    done = store(rows, progress)
        if options["json"]:
            self.stdout.write(json.dumps(done | ({"run_sheets_left": staying} if staying else {})))
        else:
            self.stdout.write(", ".join(f"{count:,} {what}" for what, count in done.items()))
            if staying:
                self.stdout.write(staying_said(staying))
