"""`manage.py tickets`: join tickets for load tools, drills and programs in other languages."""

from __future__ import annotations

import json
import secrets
from typing import Any

from django.core.management.base import CommandError, CommandParser

from realtime.access import issue_ticket
from realtime.bootstrap import services
from realtime.errors import UnknownRoom
from realtime.management.shell import ShellCommand
from realtime.messages import Sender
from realtime.roles import ROLES, Role

COUNT_MAX = 100_000
TTL_MAX_S = 30 * 86_400
"""Nobody can take such a ticket back. A program that stays for longer has a token of the HTTP API."""


class Command(ShellCommand):
    help = "Print signed join tickets for a wedding, one a line. Each is for a member of its own."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--wedding", required=True, metavar="SLUG")
        parser.add_argument("--role", required=True, choices=sorted(ROLES), help="load: no limits, only with load testing on")
        parser.add_argument("--count", type=int, default=1, metavar="N", help=f"how many (default 1, at most {COUNT_MAX:,})")
        until = f"seconds until they are over, at most {TTL_MAX_S:,}, 30 days (default: WEDSYNC_TICKET_TTL_S)"
        parser.add_argument("--ttl", type=int, metavar="S", help=until)
        parser.add_argument("--reusable", action="store_true", help="may be used again until then, for tools that reconnect")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        parts = services()
        role, ttl_s = options["role"], options["ttl"] if options["ttl"] is not None else parts.config.ticket_ttl_s
        if not 1 <= options["count"] <= COUNT_MAX:
            raise CommandError(f"--count {options['count']}: from 1 to {COUNT_MAX:,}", returncode=2)
        if not 1 <= ttl_s <= TTL_MAX_S:
            raise CommandError(f"--ttl {ttl_s}: from 1 to {TTL_MAX_S:,} s, 30 days", returncode=2)
        if ROLES[role] is Role.LOAD and not parts.config.load_testing:
            raise CommandError(
                "the role load exists only with load testing on; set WEDSYNC_LOAD_TESTING=1, never in production", returncode=2
            )
        try:
            parts.journal.position(options["wedding"])
        except UnknownRoom:
            raise CommandError(f"there is no wedding {options['wedding']!r}", returncode=2) from None
        now = parts.clock.now()
        tickets = [
            issue_ticket(options["wedding"], member, now=now, ttl_s=ttl_s, reusable=options["reusable"])
            for member in (Sender(f"t{secrets.token_hex(6)}", role, f"{role} {n + 1}") for n in range(options["count"]))
        ]
        text = (
            json.dumps({"wedding": options["wedding"], "role": role, "tickets": tickets})
            if options["json"]
            else "\n".join(tickets)
        )
        self.stdout.write(text)
