"""`manage.py import_runsheet SLUG FILE`: the day of one wedding."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from realtime.management.shell import ShellCommand
from wedsync.weddings.comparing import counted, runsheet_changes
from wedsync.weddings.importing import database, read_file, show_changes
from wedsync.weddings.models import Wedding
from wedsync.weddings.runsheets import COLUMNS, OPTIONAL, load, read


class Command(ShellCommand):
    help = (
        "Make a CSV file the run sheet of a wedding, all of it or, when a line has a mistake, none. Importing it again changes "
        f"nothing; people who are connected see the change. Columns: {', '.join(COLUMNS)}, and {OPTIONAL[0]} (everyone, crew, "
        "planners) if there is one; times are local to the venue, those after midnight may stand below the evening without a "
        "date. export_runsheet keeps what was there before."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG")
        parser.add_argument("file", metavar="FILE")
        parser.add_argument("--dry-run", action="store_true", help="only say what would change")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        with database():
            wedding = Wedding.objects.filter(slug=options["slug"]).first()
        if wedding is None:
            raise CommandError(f"there is no wedding {options['slug']!r}; import_calendar or the admin makes one", returncode=2)
        day = wedding.ceremony_at.astimezone(wedding.zone).date()
        rows = read_file(options["file"], lambda text: read(text, day, wedding.zone))
        with database():
            if options["dry_run"]:
                changes = runsheet_changes(wedding, rows)
                if not options["json"]:
                    return show_changes(self.stdout, changes)
                done = {"read": len(rows)} | counted(changes)
            else:
                loaded = load(wedding, rows)
                done = {"read": len(rows), "changed": len(loaded.changed), "removed": len(loaded.removed)}
        if options["json"]:
            self.stdout.write(json.dumps(done))
        else:
            self.stdout.write(", ".join(f"{count} {what}" for what, count in done.items()))
