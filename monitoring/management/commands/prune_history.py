"""`manage.py prune_history`: forget what history need not keep."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from rich.console import Console
from rich.progress import Progress

from monitoring.pruning import due, prune
from realtime.clock import SystemClock
from realtime.management.shell import ShellCommand

clock = SystemClock()


class Command(ShellCommand):
    help = (
        "Delete history that is older than it is kept: samples (2 days of every 10 s, 14 days of minutes, 90 days of 10 "
        "minutes, 2 years of the rest), minutes of weddings (30 days, after their report was made), decisions and moves (90 "
        "days). In small transactions; it may be stopped and run again at any time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.now()
        try:
            found = {kind.name: kind.rows.count() for kind in due(now)}
            done = Counter(found) if options["dry_run"] else self._prune(now, sum(found.values()))
        except DatabaseError as error:
            raise CommandError(f"the history database does not do it: {error}", returncode=1) from None
        rows = {name: done.get(name, 0) for name in found}
        if options["json"]:
            self.stdout.write(json.dumps({"dry_run": options["dry_run"], "rows": rows}))
            return
        for kind in due(now):
            self.stdout.write(f"{rows[kind.name]:>9,}  {kind.name}, older than {kind.kept.days} days")
        self.stdout.write("Nothing was deleted." if options["dry_run"] else f"{sum(rows.values()):,} rows deleted.")

    def _prune(self, now: Any, total: int) -> Counter[str]:
        done: Counter[str] = Counter()
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("forgetting", total=total or 1)
            for name, count in prune(now):
                done[name] += count
                bar.update(task, advance=count)
        return done
