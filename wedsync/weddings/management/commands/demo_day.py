"""`manage.py demo_day`: a day that moves by itself."""

from __future__ import annotations

import random
import signal
import threading
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import close_old_connections

from realtime.clock import SystemClock
from realtime.errors import RealtimeError
from realtime.management.shell import ShellCommand
from realtime.publish import publish
from wedsync.weddings.demo.day import Scene, Word, next_word, owed_after
from wedsync.weddings.importing import database
from wedsync.weddings.models import Wedding

EVERY_MAX_S = 86_400


class Command(ShellCommand):
    help = "Publish what happens on a wedding day into the demo weddings, until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=float, default=8.0, metavar="S", help="seconds between publications (default 8)")
        parser.add_argument("--count", type=int, metavar="N", help="stop after N publications")
        parser.add_argument("--seed", type=int, help="make the day repeatable")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 < options["every"] <= EVERY_MAX_S:  # nan is neither
            raise CommandError(f"--every {options['every']}: must be more than 0 seconds, at most a day", returncode=2)
        if options["count"] is not None and options["count"] < 0:
            raise CommandError(f"--count {options['count']}: 0 or more", returncode=2)
        stop = threading.Event()
        before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            with database():
                self._speak(random.Random(options["seed"]), options["count"], options["every"], stop)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _speak(self, rng: random.Random, count: int | None, every_s: float, stop: threading.Event) -> None:
        clock = SystemClock()
        owed: dict[str, dict[int, int]] = {}
        spoken = 0
        while not stop.is_set() and spoken != count:
            if spoken:
                stop.wait(every_s)
                if stop.is_set():
                    return
            close_old_connections()  # nobody else does it in a command that runs for days
            wedding = rng.choice(list(Wedding.objects.filter(demo=True).order_by("slug")) or [None])
            if wedding is None:
                raise CommandError("there are no demo weddings; run manage.py demo first", returncode=2)
            returning = owed.get(wedding.slug, {})
            word = next_word(Scene(list(wedding.items.all()), list(wedding.members.all()), clock.now(), returning), rng)
            if word is not None and self._publish(wedding.slug, word):
                owed[wedding.slug] = owed_after(returning, word)
            elif word is not None and word.data.get("item") in returning:
                del returning[word.data["item"]]
            spoken += 1

    def _publish(self, room: str, word: Word) -> bool:
        """Whether it was published; what cannot be is said on stderr, the day goes on."""
        try:
            publish(room, word.kind, word.data, sender=word.sender)
        except RealtimeError as error:
            self.stderr.write(f"{room}: {word.kind} was not published: {error.message}")
            return False
        return True
