"""The figures of a day report are those that the journal and the clients' own logs count, and its file cannot be changed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from realtime.client_events import Via
from realtime.kinds import KINDS
from tests.acceptance.crowd import MIX, Crowd
from tests.processes import Processes, Server, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.unhurried, pytest.mark.timeout(240)]
ROOM = "today"
WEDDING = """
from django.utils import timezone
from wedsync.weddings.models import Wedding
Wedding(slug="today", names="A & B", venue="V", timezone="UTC", ceremony_at=timezone.now(), invited_guests=50).save()
"""
JOURNAL = """
from realtime.models import JournalEntry
print(*JournalEntry.objects.values_list("kind", flat=True))
"""
SHARES = {"planner": 9, "couple": 5, "vendor": 4, "guest": 3}
RECORDED_S = 150.0
"""A minute is written when it is over."""


async def test_its_figures_are_those_of_the_journal_and_the_clients(processes: Processes) -> None:
    processes.migrate()
    processes.manage("shell", "--no-imports", "-c", WEDDING)
    server = await asyncio.to_thread(processes.server)
    # What a worker has counted before anybody looked belongs to nobody's minute.
    await asyncio.to_thread(wait_until, lambda: watched(server), "the control loop sees the worker")
    async with Crowd(processes, ROOM, [server.url.replace("http", "ws")], MIX) as crowd:
        await crowd.talk(0, SHARES, "a")
        await crowd.settled()
        said = Counter((await asyncio.to_thread(processes.manage, "shell", "--no-imports", "-c", JOURNAL)).split())
        assert sum(said.values()) == sum(message.sent for message in crowd.history.messages)
        file = processes.folder / "report.json"
        async with asyncio.timeout(RECORDED_S):  # everybody stays until the minute is written: who leaves is news as well
            while (report := await asyncio.to_thread(made, processes, file))["delivered"] != shown(crowd, replayed=False):
                await asyncio.sleep(1.0)
        assert report["replayed"] == shown(crowd, replayed=True)
    priorities: Counter[str] = Counter()
    for kind, count in said.items():
        priorities[KINDS[kind].priority.name] += count
    assert report["sent"] == priorities and report["sent_by_kind"] == said
    assert (report["faults"], report["lost_in_journal"]) == (0, 0)

    assert processes.managed("day_report", "--verify", str(file))[0] == 0
    whole = file.read_bytes()
    for place in (len(whole) // 3, whole.index(b'"delivered":') + 12, len(whole) - 2):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert processes.managed("day_report", "--verify", str(file))[0] == 1


def watched(server: Server) -> bool:
    with urlopen(f"{server.url}/metrics", timeout=5) as response:
        return b'\nwedsync_workers{state="ready"} 1' in response.read()


def shown(crowd: Crowd, *, replayed: bool) -> int:
    """What the clients' own logs say."""
    return sum((via == Via.REPLAY) is replayed for seen in crowd.history.members for via in seen.vias)


def made(processes: Processes, file: Path) -> dict[str, Any]:
    processes.manage("day_report", ROOM, "--json", str(file))
    report: dict[str, Any] = json.loads(file.read_bytes())["report"]
    return report
