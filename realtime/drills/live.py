"""A drill on the running fleet: inside weddings of its own, with few people, watched, given up as soon as somebody real is
affected, and nothing of it left behind. Refused while a real wedding has its day, unless somebody takes the responsibility.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError

from monitoring.drill_runs import pages
from realtime.bootstrap import registry_at
from realtime.clock import Clock
from realtime.drills import leftovers
from realtime.drills.faults import FaultDrill, FaultResult
from realtime.drills.guard import Guard
from realtime.drills.owner import tag
from realtime.drills.server import DrillFailed, Running, seed
from realtime.errors import RegistryUnavailable
from realtime.fence import PREFIX
from realtime.fleet import remote
from realtime.ports import Registry
from wedsync.weddings.forecasting import bookings

logger = logging.getLogger(__name__)

PEOPLE_MAX = 500
"""Few enough that the fleet has room for the real ones beside them."""
LOOK_S = 1.0
WINDOWS_EVERY = 10
"""Looks; a wedding day does not begin within seconds."""
BEFORE_S = 3.0
"""So long the fleet is looked at before the drill comes, for what is usual."""
SILENT_S = 10.0


class Refused(Exception):
    """It may not be played on the running fleet now."""


def open_weddings(now: datetime) -> list[str]:
    """Real weddings that have their day now."""
    now_s = now.timestamp()
    return [booking.wedding for booking in bookings(now) if booking.day.open(now_s)]


def check(drill: type[FaultDrill], connections: int, now: datetime, *, overridden: bool) -> None:
    """Raises Refused with a sentence for the operator."""
    if not drill.live:
        raise Refused(f"drill {drill.name} breaks more than its own weddings; it runs only on a fleet of its own")
    if connections > PEOPLE_MAX:
        raise Refused(f"--connections {connections}: at most {PEOPLE_MAX} on a running fleet, real people need the room")
    if firing := pages():
        raise Refused(f"a page is firing ({', '.join(firing)}): something is wrong already")
    if not overridden and (weddings := open_weddings(now)):
        more = f" and {len(weddings) - 3} more" if len(weddings) > 3 else ""
        raise Refused(
            f"{', '.join(weddings[:3])}{more} has its day now. Wait until it is over, or take the responsibility: "
            '--override "why it cannot wait" --by YOUR-NAME'
        )


def prefix() -> str:
    """Of the weddings of this drill: fenced, and with their owner's name in it."""
    return f"{PREFIX}{tag()}"


def running() -> Running:
    """The fleet of this installation. Raises Refused when there is none."""
    try:
        fleet: dict[str, Any] = next(remote.ask(settings.VAR_DIR, {"do": "fleet"}))
    except (remote.NoFleet, OSError, StopIteration) as error:
        raise Refused(str(error) or "the supervisor does not answer") from None
    host, port = fleet["address"]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    return Running(f"http://{host}:{port}", fleet["supervisor"], "", str(settings.VAR_DIR), fleet["redis"])


@asynccontextmanager
async def fence(names: Sequence[str], now: datetime) -> AsyncIterator[None]:
    """The synthetic weddings, made now and gone afterwards in every case."""
    await sync_to_async(seed)(names, now)
    try:
        yield
    finally:
        try:
            await asyncio.shield(sync_to_async(leftovers.remove)(list(names)))
        except DatabaseError as error:
            logger.error("the weddings of this drill are still there, the next drill clears them away: %s", error)


async def watched(drill: FaultDrill, clock: Clock, *, overridden: bool) -> FaultResult:
    """Play it, and look once a second whether somebody real is affected: then it is given up at once."""
    watch = _Watch(drill, registry_at(drill.server.redis) if drill.server.redis else None, clock, overridden)
    await watch.usual()
    playing = asyncio.create_task(drill.judged(), name="drill")
    watching = asyncio.create_task(watch.until_affected(), name="guard")
    try:
        await asyncio.wait({playing, watching}, return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            return await playing
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        return drill.stopped(await watching)
    finally:
        playing.cancel()
        watching.cancel()
        await asyncio.gather(playing, watching, return_exceptions=True)


class _Watch:
    def __init__(self, drill: FaultDrill, registry: Registry | None, clock: Clock, overridden: bool) -> None:
        if registry is None:
            raise DrillFailed("the fleet has no Redis, so nobody could see whether somebody real is affected")
        self._drill = drill
        self._registry = registry
        self._clock = clock
        self._overridden = overridden
        self._guard = Guard()
        self._heard_s = clock.monotonic()

    async def usual(self) -> None:
        """How real weddings are served before the drill."""
        for _ in range(int(BEFORE_S / LOOK_S)):
            await self._look()
            await self._clock.sleep(LOOK_S)
        self._guard.begin()

    async def until_affected(self) -> str:
        """Why it has to be given up."""
        for look in range(1, 1_000_000):
            await self._clock.sleep(LOOK_S)
            if (why := await self._look()) or (why := await self._others(look)):
                return why
        raise AssertionError("a drill of eleven days")

    async def _look(self) -> str:
        now_s = self._clock.monotonic()
        try:
            reports = await self._registry.reports()
        except RegistryUnavailable:
            blind_s = now_s - self._heard_s
            return f"for {blind_s:.0f} s nobody could see whether somebody real is affected" if blind_s > SILENT_S else ""
        self._heard_s = now_s
        return self._guard.step(reports, now_s)

    async def _others(self, look: int) -> str:
        expected = {*self._drill.alerts, *self._drill.may_fire}
        try:
            firing = [rule for rule in await sync_to_async(pages)() if rule not in expected]
            if firing:
                return f"a page fires: {', '.join(firing)}"
            if look % WINDOWS_EVERY == 0 and not self._overridden:
                begun = await sync_to_async(open_weddings)(self._clock.now())
                return f"{begun[0]} has its day now" if begun else ""
        except DatabaseError as error:
            return f"the database does not answer: {error}"
        return ""
