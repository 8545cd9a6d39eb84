"""`drill venue-wifi`: the Wi-Fi of a venue goes away, and all its people come back together, from one address.

They connect from an address of this machine that is not loopback, because loopback has no limit; no packet leaves the machine.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

import psutil

from realtime.drills.faults import FaultDrill
from realtime.drills.load import Route, member_id
from realtime.drills.needs import Need
from realtime.drills.workloads import RoomPlan

VENUE = 165
"""The largest weddings have so many sockets (ops.md 1.4)."""
AT, SHARE = 0.25, 0.4
GONE_S = 30.0
BACK_S = 5.0


def own_address() -> str:
    """An IPv4 address of this machine that is not loopback, "" when it has none."""
    found = (a.address for addresses in psutil.net_if_addrs().values() for a in addresses if a.family == socket.AF_INET)
    return next((address for address in found if not address.startswith("127.")), "")


def venue_of(plan: Sequence[RoomPlan], most: int = VENUE) -> set[tuple[int, int]]:
    """{(room, member)} of those at the venue: whole weddings where possible, the largest first, and at most half of all."""
    total = sum(len(room.roles) for room in plan)
    wanted = min(most, total // 2)
    order = sorted(range(len(plan)), key=lambda n: (-len(plan[n].roles), n))
    return set([(n, m) for n in order for m in range(len(plan[n].roles))][:wanted])


class VenueWifiDrill(FaultDrill):
    name = "venue-wifi"
    injects = "165 people behind one address lose the connection together and come back in the same moment 30 s later"
    invariant = "0/0/0; nobody is refused: a venue that comes back is no attack; the others keep their connections"
    recovery = f"all of them {BACK_S:g} s after the Wi-Fi is back"
    needs = (
        Need(
            "an address that is not loopback",
            "connect to a network, or: ip addr add 192.0.2.1/32 dev lo",
            lambda: bool(own_address()),
        ),
    )
    minutes = 1.0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._address, self._venue = own_address(), venue_of(self.plan)

    def _route(self, n: int, m: int, base: str) -> Route:
        return Route(base, self._address) if (n, m) in self._venue else super()._route(n, m, base)

    async def inject(self) -> None:
        duration_s = self.options.duration_s
        people = [self.clients[n][m] for n, m in sorted(self._venue)]
        await self._clock.sleep(AT * duration_s)
        before = (await self.fleet())["dispatcher"]
        for client in people:
            client.stall(True)  # without a network a phone does not even try
            client.drop()
        self.injected(f"the Wi-Fi of {len(people)} people is gone")
        gone_s = min(GONE_S, SHARE * duration_s)
        await self._clock.sleep(gone_s)
        self._back_s = self._clock.monotonic()
        self.restored("the Wi-Fi is back")
        for client in people:
            client.stall(False)
        await self.until(lambda fleet: fleet["dispatcher"]["passed"] >= before["passed"] + len(people), "all are back")
        now = (await self.fleet())["dispatcher"]
        self.facts |= {"address": self._address, "people": len(people), "gone_s": round(gone_s, 1)}
        self.facts |= {"refused": now["refused"] - before["refused"]}

    def promises(self) -> list[str]:
        venue = {member_id(self.plan[n], m) for n, m in self._venue}
        waits = [None if e.back_s is None else e.back_s - self._back_s for e in self.ended if e.member in venue]
        back = [wait for wait in waits if wait is not None]
        others = sum(ended.member not in venue for ended in self.ended)
        self.facts |= {"back": len(back), "last_back_s": round(max(back), 3) if back else None, "others_ended": others}
        broken = self.late("last_back_s", BACK_S, "the last one of the venue was")
        if len(back) < len(venue):
            broken.append(f"{len(venue) - len(back)} of {len(venue)} people of the venue are not back")
        if self.facts["refused"]:
            broken.append(f"{self.facts['refused']} connections of the venue were refused, as if it were an attack")
        if others:
            broken.append(f"{others} connections of others ended")
        return broken
