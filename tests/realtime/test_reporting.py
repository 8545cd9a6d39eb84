"""What a worker says of itself."""

from __future__ import annotations

from realtime.report import decode_report, encode_report
from realtime.reporting import report
from tests.realtime.test_consumers import GUEST, PLANNER, ROOM, Site, say, site, until

__all__ = ["site"]


async def test_a_report_counts_what_happened_and_survives_the_way(site: Site) -> None:
    planner, guest = await site.join(PLANNER), await site.join(GUEST)
    await until(planner, "live"), await until(guest, "live")
    await planner.send_to(text_data=say("Cake in five.", kind="chat.guests"))
    await until(guest, "pub")
    await until(planner, "ok")
    found = report(site.services)
    assert decode_report(encode_report(found)) == found
    assert found.connections == {"planner": 1, "guest": 1}
    wedding = found.weddings[ROOM]
    assert wedding.connections == found.connections and wedding.publications_total >= 1
    assert found.joins_total == 2 and found.deliveries_total["P2"] == 2 and found.publications_total["P2"] == 1
    assert sum(found.latency["P2"].values()) == 2 and found.state == "ready"
    assert found.rss_bytes and found.rss_bytes > 10_000_000


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
    found = report(site.services)
    assert found.weddings[ROOM].replayed_total == 2
    assert found.weddings[ROOM].faults_total == 3 == found.gaps_total


async def test_what_was_not_measured_is_absent(site: Site) -> None:
    await site.join(GUEST)
    found = report(site.services)
    assert found.busy is None and found.lag_s is None
