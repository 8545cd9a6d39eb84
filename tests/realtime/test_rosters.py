"""What processes tell each other of who is there: every room's roster often enough, and not all in one turn of the loop."""

from __future__ import annotations

import asyncio
from collections import Counter

from realtime.config import RealtimeConfig
from realtime.hub import Hub
from realtime.others import FLEET
from realtime.parcel import Parcel, pack
from tests.fakes import ManualClock, MemoryJournal, MemoryMailbox, Network, at_once, second

ROOMS = [f"wedding-{n}" for n in range(40)]


async def test_each_room_has_a_moment_of_its_own_for_its_roster() -> None:
    clock, network, config = ManualClock(), Network(), RealtimeConfig()
    journal = MemoryJournal(clock, *ROOMS)
    MemoryMailbox(network)  # another process, which hears it
    hub = Hub(config, journal, MemoryMailbox(network), clock, at_once, "vm.1.a")
    await asyncio.gather(*(hub.open(name) for name in ROOMS))
    network.wire.clear()  # what is said when a room is opened
    told, in_a_tick = Counter[str](), []
    for _ in range(round(3 * config.presence_refresh_s)):
        clock.advance(1.0)
        hub.receive(FLEET, pack(Parcel("vm.2.b", holds=ROOMS)))
        await second(hub)
        told.update(room for _, room, _ in network.wire if room != FLEET)
        in_a_tick.append(len(network.wire))
        network.wire.clear()
    assert set(told) == set(ROOMS) and set(told.values()) <= {3, 4}
    assert max(in_a_tick) < len(ROOMS) / 2
