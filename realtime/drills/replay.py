"""`drill replay FILE`: the black box of a day is played again at speed, by the same people, in the same order.

What people said is said again, by as many members of the same roles; what the server derived from it, it has to derive again.
Run sheet items are those of the synthetic wedding: an item is always played by the same one.
"""

from __future__ import annotations

import json
import math
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from msgspec import Struct
from msgspec.structs import replace

from monitoring.day_log import FORMAT
from realtime.drills.faults import FaultDrill
from realtime.drills.load import Options
from realtime.drills.workloads import Planned, RoomPlan
from realtime.kinds import KINDS, SERVER
from realtime.roles import ROLES

SPEED = 60.0
SAMPLE = Path(settings.BASE_DIR) / "wedsync/weddings/demo/day-log.jsonl"
"""Forty minutes of a demo wedding, for who has no log of a day yet."""
PAUSE_MAX_S = 1.0
"""Of the play: nights between two days of a wedding are not waited for."""
ITEM_FIELDS = ("item", "after")
LISTENERS = ("planner", "couple", "vendor", "guest", "display")
"""Roles that are there to see it, also when none of them said anything."""


class Said(Struct, frozen=True):
    """One entry that somebody made."""

    t_s: float
    member: int
    kind: str
    data: dict[str, Any]


class Log(Struct, frozen=True):
    """A day log, ready to be played at speed 1. `roles`: of the members, by number."""

    wedding: str
    roles: tuple[str, ...]
    said: tuple[Said, ...]
    derived: int
    """Entries that the server made."""


class ReplayDrill(FaultDrill):
    name = "replay"
    injects = "a day log (manage.py day_log export) is played again at speed, by as many people of the same roles"
    invariant = "0/0/0, and everything is stored in the order in which it was said"
    recovery = "none"

    @classmethod
    def arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file", nargs="?", default=str(SAMPLE), metavar="FILE",
            help="written by manage.py day_log export (default: forty minutes of a demo wedding)",
        )  # fmt: skip
        parser.add_argument("--speed", type=float, default=SPEED, metavar="N", help=f"times faster (default {SPEED:g})")

    @classmethod
    def settled(cls, options: Options) -> Options:
        if not 0 < options.extra["speed"] < math.inf:
            raise ValueError("--speed: more than 0")
        log = read(options.extra["file"])
        said = paced(log, options.extra["speed"])
        return replace(options, connections=len(log.roles), duration_s=said[-1].t_s + 1.0)

    @classmethod
    def plan_of(cls, options: Options) -> list[RoomPlan]:
        return [RoomPlan(f"{options.prefix}-0", read(options.extra["file"]).roles)]

    def _schedule(self) -> Iterator[Planned]:
        log = read(self.options.extra["file"])
        places: dict[Any, int] = {}
        for said in paced(log, self.options.extra["speed"]):
            sheet = self.items[0] or [1, 2]
            data = dict(said.data)
            for name in ITEM_FIELDS:
                if name in data and data[name] is not None:
                    data[name] = sheet[places.setdefault(data[name], len(places)) % len(sheet)]
            yield Planned(said.t_s, 0, said.member, said.kind, data)

    async def inject(self) -> None:
        return

    def promises(self) -> list[str]:
        log = read(self.options.extra["file"])
        sent = [message for message in self.history.messages if message.sent]
        refused = sum(bool(message.refused) for message in sent)
        stored = [message.offset for message in sent if message.offset]
        self.facts |= {"in_the_log": len(log.said), "derived_by_the_server_then": log.derived}
        self.facts |= {"said_again": len(sent), "refused": refused}
        if len(sent) != len(log.said):
            return [f"{len(sent)} of {len(log.said)} entries were said again"]
        one_author = _out_of_order(sent)
        self.facts["in_order"] = "yes" if stored == sorted(stored) else "of each author" if not one_author else "no"
        return [f"{one_author} entries of one author were stored in another order than they were said"] if one_author else []


def _out_of_order(sent: list[Any]) -> int:
    """Of each author: two people who speak at the same moment may be stored either way."""
    last: dict[str, int] = {}
    count = 0
    for message in sent:
        if message.offset:
            count += message.offset < last.get(message.member, 0)
            last[message.member] = max(message.offset, last.get(message.member, 0))
    return count


def paced(log: Log, speed: float) -> list[Said]:
    """As it is played at `speed`; long silences are cut short."""
    paced_s = before_s = 0.0
    found = []
    for said in log.said:
        paced_s += min(PAUSE_MAX_S, max(0.0, said.t_s - before_s) / speed)
        before_s = said.t_s
        found.append(replace(said, t_s=paced_s))
    return found


@lru_cache(maxsize=2)
def read(file: str) -> Log:
    """The log in this file. Raises ValueError with a sentence for the operator."""
    try:
        with Path(file).open(encoding="utf-8") as lines:
            head = json.loads(next(lines, "null"))
            if not isinstance(head, dict) or head.get("format") != FORMAT:
                raise ValueError("it is not a day log; manage.py day_log export writes them")
            return _log(head["wedding"], [json.loads(line) for line in lines])
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: {error}") from None


def _log(wedding: str, entries: list[dict[str, Any]]) -> Log:
    members: dict[str, int] = {}
    roles: list[str] = []
    for role in LISTENERS:
        members[f"listening {role}"] = len(roles)
        roles.append(role)
    said: list[Said] = []
    first: datetime | None = None
    for entry in entries:
        kind = KINDS.get(entry["kind"])
        # What the server said itself, and what a command left beside its own entry, is derived again.
        if kind is None or kind.publishers == SERVER or entry["id"] is None or entry["role"] not in ROLES:
            continue
        at = datetime.fromisoformat(entry["at"])
        first = first or at
        if entry["member"] not in members:
            members[entry["member"]] = len(roles)
            roles.append(entry["role"])
        said.append(Said((at - first).total_seconds(), members[entry["member"]], entry["kind"], entry["data"]))
    if not said:
        raise ValueError("nobody said anything on that day")
    return Log(wedding, tuple(roles), tuple(said), len(entries) - len(said))
