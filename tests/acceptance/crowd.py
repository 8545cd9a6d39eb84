"""Members of mixed roles on one or more servers, everything they say and see written down for the checker."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Sequence
from typing import Any

import msgspec

from realtime.client import Client, Fleet
from realtime.clock import SystemClock
from realtime.drills.checker import Report, behind, check, last_acknowledged
from realtime.drills.history import History, Recorder
from realtime.messages import Sender
from tests.processes import Processes

SAYS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "planner": [
        ("chat.crew", {"text": "a"}),
        ("vendor.status", {"vendor": "DJ", "status": "on_site"}),
        ("chat.guests", {"text": "b"}),
    ],
    "couple": [("chat.crew", {"text": "c"}), ("seating.change", {"guest": "g", "table": "7"})],
    "vendor": [("vendor.status", {"vendor": "band", "status": "en_route"}), ("chat.crew", {"text": "d"})],
    "guest": [("chat.guests", {"text": "e"}), ("guest.checkin", {"guest": "g"})],
    "display": [("guest.checkin", {"guest": "h"})],
}
MIX = {"planner": 4, "couple": 3, "vendor": 5, "guest": 6, "display": 2}
"""Twenty members."""


def member_of(ticket: str) -> Sender:
    """Whom a ticket is for."""
    payload = ticket.partition(".")[0]
    fields = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return msgspec.convert(fields[1], Sender)


class Crowd:
    """Clients of one room. `urls`: where the members of each group connect, such as "ws://127.0.0.1:8000"."""

    def __init__(
        self,
        processes: Processes,
        room: str,
        urls: list[str],
        mix: dict[str, int],
        *,
        trusting: bool = False,
        late: Sequence[int] = (),
    ) -> None:
        """The groups `late` come when a test lets them `come`."""
        self.clock = SystemClock()
        self.fleet = Fleet(self.clock)
        self.history = History()
        self.room = room
        self._late = late
        self.rng = random.Random(2027)
        self.groups: list[list[tuple[Client, Recorder, Sender]]] = [[] for _ in urls]
        for role, count in mix.items():
            tickets = processes.ticket(room, role, count=count * len(urls))
            for number, ticket in enumerate(tickets):
                group = number % len(urls)
                member = member_of(ticket)
                recorder = Recorder(self.history, self.history.watch(room, member.member, role), self.clock)
                url = f"{urls[group]}/ws/weddings/{room}/"
                client = Client(url, ticket, self.fleet, on_event=recorder, rng=self.rng, trusting=trusting)
                self.groups[group].append((client, recorder, member))

    async def __aenter__(self) -> Crowd:
        await self.fleet.__aenter__()
        await asyncio.gather(*(self.come(group) for group in range(len(self.groups)) if group not in self._late))
        return self

    async def come(self, group: int) -> None:
        """Connect the members of a group."""
        await asyncio.gather(*(client.connect() for client, _, _ in self.groups[group]))

    async def __aexit__(self, *exception: object) -> None:
        for group in self.groups:
            for client, _, _ in group:
                client.drop()
        await self.fleet.__aexit__(*exception)

    async def say(self, group: int, number: int, kind: str, data: dict[str, Any], id: str) -> int:
        """Member `number` of a group publishes; returns the offset once it is acknowledged."""
        client, _, member = self.groups[group][number]
        self.history.sent(self.room, member.member, id, kind, self.clock.monotonic())
        return (await client.publish(kind, data, id=id)).offset

    async def talk(self, group: int, shares: dict[str, int], prefix: str) -> None:
        """Each member of a group says as much as its role's share, one after the other, all members side by side."""

        async def one(number: int, role: str) -> None:
            for n in range(shares.get(role, 0)):
                kind, data = self.rng.choice(SAYS[role])
                await self.say(group, number, kind, data, f"{prefix}{group}-{number}-{n}")

        members = self.groups[group]
        await asyncio.gather(*(one(number, member.role) for number, (_, _, member) in enumerate(members)))

    async def settled(self, timeout_s: float = 20.0) -> float:
        """Wait until everybody has everything that was acknowledged. Returns how many seconds that took."""
        heads, started_s = last_acknowledged(self.history), self.clock.monotonic()
        while late := list(behind(self.history, heads)):
            waited_s = self.clock.monotonic() - started_s
            assert waited_s < timeout_s, f"{len(late)} members are behind, {late[0].member} at {late[0].position}"
            await asyncio.sleep(0.01)
        return self.clock.monotonic() - started_s

    def report(self) -> Report:
        for group in self.groups:
            for _, recorder, _ in group:
                recorder.offline()
        return check(self.history)
