"""Carries out one drill: where it is played, what stands around it, which alerts it set off, and how it ends in every case."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from asgiref.sync import sync_to_async
from django.db import DatabaseError
from msgspec import Struct

from monitoring.drill_runs import Fired, fired, switch_off
from realtime.access import issue_ticket
from realtime.clock import Clock
from realtime.drills import live
from realtime.drills.about import about
from realtime.drills.course import Moment
from realtime.drills.faults import Alarm, FaultDrill, FaultResult
from realtime.drills.load import Options, Progress
from realtime.drills.postgres import database
from realtime.drills.server import Running, own_server
from realtime.messages import Sender

TICKET_S = 24 * 3_600
ALARM_S = 15.0
"""After the play an alert that must fire is given so long: rules look every second, and some hold for a few."""
ALARM_POLL_S = 0.5
HIDE = "hide"
"""The fault of tests that switches off the alert rules a drill has to set off."""


class Where(Struct, frozen=True):
    """Where to play. `url`: a server that has the weddings; else with `live` the running fleet; else one of its own."""

    workers: int = 0
    database_url: str = ""
    url: str = ""
    live: bool = False
    overridden: bool = False


async def carry_out(drill: type[FaultDrill], asked: Options, where: Where, clock: Clock, progress: Progress) -> FaultResult:
    """Play it and judge it. Raises DrillFailed when it could not be carried out."""
    names = [room.name for room in drill.plan_of(asked)]
    if where.url:
        return await _play(drill(asked, Running(where.url, 0, ""), tickets(clock), clock, progress), None, clock, None)
    if where.live:
        playing = drill(asked, live.running(), tickets(clock), clock, progress)
        async with live.fence(names, clock.now()):
            return await _play(playing, None, clock, where)
    with database(where.database_url) as url:
        async with (
            drill.surroundings() as env,
            own_server(names, clock, database_url=url, env=env, workers=where.workers) as server,
        ):
            playing = drill(asked, server, tickets(clock), clock, progress)
            history = Path(server.var) / "history.sqlite3"
            if asked.fault == HIDE:
                await sync_to_async(switch_off)(drill.alerts, history)
            return await _play(playing, history, clock, None)


async def _play(drill: FaultDrill, history: Path | None, clock: Clock, where: Where | None) -> FaultResult:
    """`history`: of a fleet of its own. `where`: on the running fleet."""
    began = clock.now()
    began_s = clock.monotonic()
    if where is not None:
        result = await live.watched(drill, clock, overridden=where.overridden)
    else:
        result = await drill.judged()
    offset_s = drill.history.course.began_s - began_s
    if history is not None or where is not None:
        due = drill.due() if not result.reason.startswith("given up") else ()
        await _alarms(result, due, began, offset_s, history, clock)
    result.about = await asyncio.to_thread(about, clock)
    return result


async def _alarms(
    result: FaultResult, due: tuple[str, ...], began: datetime, offset_s: float, history: Path | None, clock: Clock
) -> None:
    """Wait for the alerts that must fire, write all into the result; one that did not fire breaks it."""
    until_s = clock.monotonic() + ALARM_S
    while True:
        found = await sync_to_async(_fired)(began, history)
        missing = [rule for rule in due if rule not in {alert.rule for alert in found}]
        if not missing or clock.monotonic() > until_s:
            break
        await clock.sleep(ALARM_POLL_S)
    by_rule: dict[str, list[Fired]] = {}
    for alert in found:
        by_rule.setdefault(alert.rule, []).append(alert)
    for rule, alerts in by_rule.items():
        at_s = round((alerts[0].at - began).total_seconds() - offset_s, 3)
        said = alerts[0].said + (f", and {len(alerts) - 1} more" if len(alerts) > 1 else "")
        result.alarms.append(Alarm(rule, rule in due, at_s, said))
        result.moments.append(Moment(at_s, "alert", said))
    result.moments.sort(key=lambda moment: moment.at_s)
    for rule in missing:
        result.alarms.append(Alarm(rule, True, None))
        result.broken(f"the alert {rule} should have fired and did not")


def _fired(began: datetime, history: Path | None) -> list[Fired]:
    try:
        return fired(began, history)
    except DatabaseError:
        return []  # then those that must fire are missing, and it is said


def tickets(clock: Clock) -> Callable[[str, Sender], str]:
    """Join tickets that outlive the drill."""
    return lambda room, member: issue_ticket(room, member, now=clock.now(), ttl_s=TICKET_S, reusable=True)
