"""`manage.py demo_day`: a day that moves by itself."""

from __future__ import annotations

import random
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from realtime.clock import SystemClock
from realtime.errors import RealtimeError
from realtime.publish import publish
from wedsync.weddings.demo.day import next_word
from wedsync.weddings.models import Wedding


class Command(BaseCommand):
    help = "Publish what happens on a wedding day into the demo weddings, until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=float, default=8.0, metavar="S", help="seconds between publications (default 8)")
        parser.add_argument("--count", type=int, metavar="N", help="stop after N publications")
        parser.add_argument("--seed", type=int, help="make the day repeatable")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["every"] <= 0:
            raise CommandError(f"--every {options['every']}: must be more than 0 seconds", returncode=2)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        rng, clock = random.Random(options["seed"]), SystemClock()
        spoken = 0
        while not stop.is_set() and spoken != options["count"]:
            wedding = rng.choice(list(Wedding.objects.filter(demo=True)) or [None])
            if wedding is None:
                raise CommandError("there are no demo weddings; run manage.py demo first", returncode=2)
            word = next_word(list(wedding.items.all()), list(wedding.members.all()), clock.now(), rng)
            try:
                publish(wedding.slug, word.kind, word.data, sender=word.sender)
            except RealtimeError as error:
                self.stderr.write(f"{wedding.slug}: {word.kind} was not published: {error.message}")
            spoken += 1
            stop.wait(options["every"])
