"""`manage.py journal_restored`: the database was brought back from a backup, or a replica took over that was behind."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from realtime.bootstrap import services
from realtime.management.asked import journal_asked


class Command(BaseCommand):
    help = (
        "To be run after the journal's database was brought back from a backup, or a replica took over that was behind: what "
        "a screen has read before counts for nothing, everybody starts from a snapshot. Nothing stored is changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("weddings", nargs="*", metavar="WEDDING", help="only these (default: all)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        journal, names = services().journal, sorted(set(options["weddings"]))
        with journal_asked():
            unknown = sorted(set(names) - journal.positions(names).keys())
            if unknown:
                raise CommandError(f"no such wedding: {', '.join(unknown)}; nothing was changed", returncode=2)
            renewed = journal.renew(names or None)
        if options["json"]:
            self.stdout.write(json.dumps({"renewed": renewed}))
        else:
            self.stdout.write(f"{renewed} wedding{'' if renewed == 1 else 's'}: everybody there starts from a snapshot.")
