"""How a process leaves: on orders, on SIGTERM, and after what stands in front of it has noticed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from realtime.consumers import RESTART_MS
from realtime.departure import NOTICED_S, Departure
from realtime.report import Drain, Move
from tests.realtime.test_consumers import GUEST, PLANNER, Site, site, until

__all__ = ["site"]


async def settled(site: Site, seconds: float) -> None:
    """Let the time pass, in small steps."""
    for _ in range(round(seconds / 0.05)):
        for _ in range(20):
            await asyncio.sleep(0)
        site.clock.advance(0.05)


async def test_drained_it_says_so_moves_its_people_and_ends(site: Site) -> None:
    ended: list[str] = []
    Departure(site.services, lambda: ended.append("end"))
    guest = await site.join(GUEST)
    await until(guest, "live")
    site.services.obey(Drain("a new kernel", 5.0))
    assert (site.services.state, site.services.reason) == ("draining", "a new kernel")
    await settled(site, 0.1)
    assert (await until(guest, "move"))["reason"] == "a new kernel" and not ended
    await guest.disconnect()
    await settled(site, 1.0)
    assert ended == ["end"]
    assert [report.state for report in await site.services.registry.reports()] == ["draining"]


async def test_behind_a_proxy_nobody_is_asked_to_go_before_the_proxy_knows(site: Site) -> None:
    site.services.config = replace(site.services.config, address="10.0.0.1:8000")
    Departure(site.services, lambda: None)
    guest = await site.join(GUEST)
    await until(guest, "live")
    site.services.obey(Drain("a new kernel", 60.0))
    await settled(site, NOTICED_S - 0.2)
    assert await guest.receive_nothing(timeout=0.01)
    await settled(site, 0.4)
    assert (await until(guest, "move"))["t"] == "move"


async def test_a_wedding_is_asked_to_come_back_elsewhere(site: Site) -> None:
    Departure(site.services, lambda: None)
    guest = await site.join(GUEST)
    await until(guest, "live")
    site.services.obey(Move("rose-garden", "uneven"))
    await settled(site, 0.1)
    assert (await until(guest, "move"))["reason"] == "uneven" and site.services.state == "ready"


async def test_told_to_stop_it_says_goodbye_and_ends(site: Site) -> None:
    ended: list[str] = []
    departure = Departure(site.services, lambda: ended.append("end"))
    guest = await site.join(GUEST)
    await until(guest, "live")
    departure.stop()
    assert ended == []
    await settled(site, 0.1)
    assert (await until(guest, "goodbye"))["code"] == 4001
    await settled(site, 1.0)
    assert ended == ["end"]


async def test_who_comes_back_while_it_stops_does_not_keep_it(site: Site) -> None:
    ended: list[str] = []
    departure = Departure(site.services, lambda: ended.append("end"))
    slow, quick = await site.join(GUEST), await site.join(PLANNER)
    for member in (slow, quick):
        await until(member, "live")
    departure.stop()
    await until(quick, "goodbye")
    await quick.disconnect()
    back = site.knock(site.ticket(PLANNER))
    assert (await back.connect())[0]
    goodbye = json.loads(await back.receive_from())
    assert (goodbye["t"], goodbye["code"], goodbye["retry_after_ms"]) == ("goodbye", 4001, RESTART_MS)
    assert (await back.receive_output())["code"] == 4001
    await slow.disconnect()
    await settled(site, 0.2)
    assert ended == ["end"]


async def test_who_is_on_the_way_in_when_it_stops_hears_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    departure = Departure(site.services, lambda: None, idle=lambda: False)
    gate, join = asyncio.Event(), site.services.hub.join

    async def slow(*args: Any) -> None:
        await gate.wait()
        await join(*args)

    monkeypatch.setattr(site.services.hub, "join", slow)
    late = site.knock(site.ticket(GUEST))
    assert (await late.connect())[0]
    departure.stop()
    await settled(site, 0.2)
    gate.set()
    goodbye = await until(late, "goodbye")
    assert (goodbye["code"], goodbye["retry_after_ms"]) == (4001, RESTART_MS)


async def test_a_worker_that_drains_when_all_stop_takes_nobody_either(site: Site) -> None:
    departure = Departure(site.services, lambda: None)
    await until(await site.join(GUEST), "live")
    site.services.obey(Drain("a new kernel", 5.0))
    late = site.knock(site.ticket(PLANNER))
    assert (await late.connect())[0] and (await until(late, "welcome"))["t"] == "welcome"
    departure.leave("The fleet stops.", 5.0, stop=True)
    later = site.knock(site.ticket(PLANNER))
    assert (await later.connect())[0] and json.loads(await later.receive_from())["code"] == 4001


async def test_told_twice_it_ends_at_once(site: Site) -> None:
    ended: list[str] = []
    departure = Departure(site.services, lambda: ended.append("end"))
    await until(await site.join(GUEST), "live")
    departure.stop()
    departure.stop()
    assert ended == ["end"]
