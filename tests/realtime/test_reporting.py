"""What a worker says of itself."""

from __future__ import annotations

import asyncio

from realtime.report import Describe, WorkerReport, decode_report, decode_room, describes, encode_report
from realtime.reporting import report, reporting, room_report
from realtime.roles import OPS
from tests.realtime.test_consumers import GUEST, PLANNER, ROOM, Site, say, site, until

__all__ = ["site"]


def read(site: Site) -> WorkerReport:
    """What it says, as who reads it sees it."""
    return decode_report(encode_report(report(site.services)))


async def test_a_report_counts_what_happened_and_survives_the_way(site: Site) -> None:
    planner, guest = await site.join(PLANNER), await site.join(GUEST)
    await until(planner, "live"), await until(guest, "live")
    await planner.send_to(text_data=say("Cake in five.", kind="chat.guests"))
    await until(guest, "pub")
    await until(planner, "ok")
    found = read(site)
    assert found.connections == {"planner": 1, "guest": 1}
    wedding = found.weddings[ROOM]
    assert wedding.connections == found.connections and wedding.publications_total >= 1
    assert found.joins_total == 2 and found.deliveries_total["P2"] == 2 and found.publications_total["P2"] == 1
    assert sum(found.latency["P2"].values()) == 2 and found.state == "ready"
    assert found.rss_bytes and found.rss_bytes > 10_000_000


async def test_a_worker_that_ends_says_goodbye(site: Site) -> None:
    parts = site.services
    await parts.start()
    await parts.stop()
    assert [(found.worker, found.state) for found in await parts.registry.reports()] == [(parts.hub.process, "draining")]


async def test_what_was_replayed_and_what_clients_complain_of_is_counted_for_the_wedding(site: Site) -> None:
    planner, guest = await site.join(PLANNER), await site.join(GUEST)
    welcome, live = await until(guest, "welcome"), await until(guest, "live")
    await guest.disconnect()
    for id in ("one", "two"):
        await planner.send_to(text_data=say("Cake in five.", kind="chat.guests", id=id))
        await until(planner, "ok")
    again = await site.join(GUEST, query=f"?epoch={welcome['epoch']}&since={live['up_to']}")
    await until(again, "live")
    await again.send_to(text_data='{"t": "hint", "gaps": 3}')
    await again.send_to(text_data='{"t": "ping", "ref": 7}')
    await until(again, "pong")
    found = read(site)
    assert found.weddings[ROOM].replayed_total == 2
    assert found.weddings[ROOM].faults_total == 3 == found.gaps_total


async def test_who_is_asked_describes_a_wedding_by_the_plans_of_its_connections(site: Site) -> None:
    guest, planner = await site.join(GUEST), await site.join(PLANNER)
    await until(guest, "live"), await until(planner, "live")
    parts = site.services
    await parts.registry.order(parts.hub.process, Describe(ROOM))
    task = asyncio.create_task(reporting(parts))
    for _ in range(10):
        await asyncio.sleep(0)
    task.cancel()
    noted = await parts.registry.read(describes(parts.hub.process, ROOM))
    assert noted is not None
    described = decode_room(noted)
    assert [(c.role, c.name, c.encoding, c.reason) for c in described.connections] == [
        ("planner", "Sam", "plain", "usual"),
        ("guest", "Maya", "plain", "usual"),
    ]
    assert described.more == 0 and room_report(parts, "nowhere").connections == []


async def test_the_room_of_the_operators_is_no_wedding(site: Site) -> None:
    site.journal.epochs[OPS], site.journal.entries[OPS], site.journal.floors[OPS] = "e1", [], 0
    await site.services.hub.open(OPS)
    assert OPS in site.services.hub.rooms and read(site).weddings == {}


async def test_a_wedding_is_reported_for_as_long_as_it_is_held(site: Site) -> None:
    guest = await site.join(GUEST)
    await until(guest, "live")
    hub = site.services.hub
    assert list(read(site).weddings) == [ROOM]
    hub.replaced(hub.rooms[ROOM])
    assert read(site).weddings == {}
    room = await hub.open(ROOM)
    assert read(site).weddings == {ROOM: room.measures.report()}
    room.empty_since_s = -1_000.0
    await hub.compare()
    assert ROOM not in hub.rooms and read(site).weddings == {}


async def test_what_was_not_measured_is_absent(site: Site) -> None:
    await site.join(GUEST)
    found = read(site)
    assert found.busy is None and found.lag_s is None
