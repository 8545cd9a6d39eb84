"""The dispatcher hears of homes through the supervisor, and is not asked twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from realtime.adapters.dispatch import DispatcherFront
from realtime.fleet import remote
from realtime.fleet.control import Control


class Supervisor:
    """What `Control` asks of one."""

    def __init__(self) -> None:
        self.told: list[dict[str, str]] = []
        self.up = True

    def settle(self, homes: dict[str, str]) -> bool:
        self.told.append(homes)
        return self.up


async def test_homes_are_told_when_they_change_and_again_when_that_failed(tmp_path: Path) -> None:
    supervisor: Any = Supervisor()
    front = DispatcherFront(tmp_path)
    with pytest.raises(OSError, match=r"manage\.py serve"):
        await front.arrange([], {"rose": "w2"})
    async with Control(supervisor, tmp_path / "c"):
        remote.write_pointer(tmp_path, tmp_path / "c")
        assert (tmp_path / "c").stat().st_mode & 0o777 == 0o600
        supervisor.up = False
        with pytest.raises(OSError, match="dispatcher"):
            await front.arrange([], {"rose": "w2"})
        supervisor.up = True
        for homes in ({"rose": "w2"}, {"rose": "w2"}, {}):
            await front.arrange([], homes)
        assert supervisor.told == [{"rose": "w2"}, {"rose": "w2"}, {}]
        await asyncio.sleep(0)
    remote.clear_pointer(tmp_path)
    with pytest.raises(remote.NoFleet):
        await asyncio.to_thread(next, remote.ask(tmp_path, {"do": "fleet"}))


async def test_the_homes_of_a_whole_saturday_arrive_and_too_many_are_refused_with_a_sentence(tmp_path: Path) -> None:
    supervisor: Any = Supervisor()
    homes = {f"wedding-of-anna-and-ben-{number:05d}": f"w{number % 64}" for number in range(9_000)}
    fewer = dict(list(homes.items())[:2_700])
    async with Control(supervisor, tmp_path / "c"):
        remote.write_pointer(tmp_path, tmp_path / "c")
        front = DispatcherFront(tmp_path)
        await front.arrange([], fewer)
        with pytest.raises(OSError, match=r"9000 homes have \d+ bytes; 180000 can be told"):
            await front.arrange([], homes)
    assert supervisor.told == [fewer]
