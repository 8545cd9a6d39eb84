"""One in twenty phones stops reading: the others do not notice, and the stuck ones miss nothing durable."""

from __future__ import annotations

import pytest

from realtime.access import issue_ticket
from realtime.clock import SystemClock
from realtime.drills.load import Options
from realtime.drills.server import own_server
from realtime.drills.slow_clients import SlowClientsDrill
from realtime.drills.workloads import PROFILES, rooms
from realtime.messages import Sender

pytestmark = pytest.mark.acceptance


async def test_the_stuck_come_back_and_nobody_else_notices() -> None:
    clock = SystemClock()

    def ticket(room: str, member: Sender) -> str:
        return issue_ticket(room, member, now=clock.now(), ttl_s=3_600, reusable=True)

    asked = Options("sat-june-10k-x10", 200, 16.0, prefix="slow")
    names = [room.name for room in rooms(PROFILES[asked.profile], asked.connections, asked.prefix)]
    async with own_server(names, clock) as server:
        result = await SlowClientsDrill(asked, server.url, ticket, clock, lambda what, share: None, server.pid).run_slow()
    assert result.passed, result.reason
    assert result.stuck >= 10 and result.sent_away >= result.stuck and result.load.violations == []
