"""`manage.py prune_journal`: let go of old history."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from realtime.bootstrap import services
from realtime.management.shell import ShellCommand

DAYS_MAX = 36_500
"""A hundred years; the calendar has a beginning."""


class Command(ShellCommand):
    help = (
        "Delete journal entries older than --days (default: WEDSYNC_RETENTION_DAYS). What is still the current state of a "
        "wedding is kept; a client that was away for longer gets a snapshot."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, help="keep entries of the last DAYS days")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        parts = services()
        days = options["days"] if options["days"] is not None else parts.config.retention_days
        if not 1 <= days <= DAYS_MAX:
            raise CommandError(f"--days {days}: from 1 to {DAYS_MAX:,}, today's weddings need their history", returncode=2)
        pruned = parts.journal.prune(parts.journal.old(days))
        if options["json"]:
            self.stdout.write(json.dumps({"pruned": pruned, "days": days}))
        else:
            self.stdout.write(f"{pruned} entries older than {days} days deleted.")
