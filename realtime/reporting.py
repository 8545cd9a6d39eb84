"""What one worker says of itself, once a second, and the orders it gets with the answer."""

from __future__ import annotations

import heapq
import logging
import os
from functools import cache
from typing import TYPE_CHECKING

from realtime.connection import Connection
from realtime.errors import RegistryUnavailable
from realtime.kinds import Priority
from realtime.measures import PRIORITIES
from realtime.performance_optimizer import Tuning
from realtime.policy.draining import rank
from realtime.policy.shedding import LEVELS
from realtime.report import (
    ConnectionReport,
    Describe,
    Drain,
    Move,
    RoomReport,
    Tuned,
    WorkerReport,
    describes,
    encode_room,
)

if TYPE_CHECKING:
    from realtime.services import Services

logger = logging.getLogger(__name__)

REPORT_EVERY_S = 1.0
TUNED_MAX = 10
DESCRIBED_MAX, DESCRIBED_TTL_S = 200, 10.0
"""Connections of one wedding in a description, the crew first; for how long it is worth reading."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def report(parts: Services) -> WorkerReport:
    """This worker as it is now, in what it counts with itself: to be sent at once."""
    hub, measures, tuning = parts.hub, parts.hub.measures, parts.hub.flushing.tuning
    measures.book()
    host, pid = hub.process.rsplit(".", 2)[:2]
    offset_s = parts.clock.now().timestamp() - parts.clock.monotonic()
    return WorkerReport(
        worker=hub.process,
        slot=parts.slot,
        host=host,
        pid=int(pid),
        at_s=parts.clock.now().timestamp(),
        started_s=parts.started_s,
        state=parts.state,
        reason=parts.reason,
        address=parts.config.address,
        connections={role: count for role, count in measures.connections.items() if count},
        packed=measures.weddings.packed(),
        joins_total=measures.joins_total,
        joins_refused_total=measures.joins_refused_total,
        publications_total=_named(measures.publications),
        deliveries_total=_named(measures.deliveries),
        shed_total=dict(measures.shed),
        too_slow_total=measures.too_slow_total,
        gaps_total=measures.gaps_total,
        busy=parts.busy,
        lag_s=parts.take_lag_s(),
        rss_bytes=rss_bytes(),
        outbox_bytes=measures.outbox_bytes,
        journal_healthy=not parts.committer.down,
        layer_healthy=parts.mailbox.healthy,
        latency={f"P{priority}": measures.latency[priority].counts for priority in PRIORITIES},
        acked={f"P{priority}": measures.acked[priority].counts for priority in (Priority.P0, Priority.P1)},
        canaries=parts.canaries.of_others(),
        window_s=tuning.window_s,
        shed=LEVELS[tuning.shed_level],
        plans=parts.plans,
        tuned=[Tuned(offset_s + at_s, _change(t), t.reason) for at_s, t in list(parts.optimizer.changes)[-TUNED_MAX:]],
    )


async def reporting(parts: Services) -> None:
    """Report once a second for as long as this process runs, and hand on the orders. A registry that is away is asked again."""
    away = False
    while True:
        try:
            for order in await parts.registry.report(report(parts)):
                match order:
                    case Describe(room):
                        answer = encode_room(room_report(parts, room))
                        await parts.registry.note(describes(parts.hub.process, room), answer, DESCRIBED_TTL_S)
                    case Drain() | Move():
                        parts.obey(order)
            away = False
        except RegistryUnavailable as error:
            if not away:
                logger.warning("this worker cannot report: %s", error)
            away = True
        except Exception:
            logger.exception("the report failed")
        await parts.clock.sleep(REPORT_EVERY_S)


async def say_goodbye(parts: Services) -> None:
    """The last report, which stays for a few seconds: this worker ends on purpose, nobody is to be paged for it."""
    try:
        await parts.registry.report(report(parts))
    except RegistryUnavailable:
        logger.warning("nobody can be told that this worker ends on purpose")


def room_report(parts: Services, name: str) -> RoomReport:
    """How the members of one room are served here, the crew first, at most `DESCRIBED_MAX` of them. Measures each of those."""
    room = parts.hub.rooms.get(name)
    if room is None:
        return RoomReport(parts.hub.process, parts.slot, parts.clock.now().timestamp(), [])
    first = heapq.nlargest(DESCRIBED_MAX, room.members(), key=lambda c: rank(c.role))
    described = [_connection(connection) for connection in first]
    now_s = parts.clock.now().timestamp()
    return RoomReport(parts.hub.process, parts.slot, now_s, described, room.n_members - len(described))


def _connection(connection: Connection) -> ConnectionReport:
    plan, member, link = connection.plan, connection.member, connection.link
    return ConnectionReport(
        member.member,
        member.role,
        member.name,
        plan.encoding,
        plan.light,
        plan.batch_s,
        plan.heartbeat_s,
        plan.reason,
        link.rtt_s if link is not None else None,
        connection.n_bytes,
    )


def _named(counts: list[int]) -> dict[str, int]:
    return {f"P{priority}": counts[priority] for priority in PRIORITIES}


def _change(tuning: Tuning) -> str:
    shed = LEVELS[tuning.shed_level] or "nothing"
    return f"window {tuning.window_s * 1_000:.0f} ms, compress over {tuning.compress_over_bytes} bytes, shed {shed}"


def rss_bytes() -> int | None:
    """Resident memory of this process, None where the kernel does not say (proc(5))."""
    try:
        return int(os.pread(_statm(os.getpid()), 100, 0).split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return None


@cache
def _statm(pid: int) -> int:
    """Kept open: to find the file takes longer than to read it, every second."""
    return os.open(f"/proc/{pid}/statm", os.O_RDONLY)
