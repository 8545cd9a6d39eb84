"""The scaler's way to the supervisor of this machine."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from realtime.adapters.processes import LocalWorkers
from realtime.fleet import remote


async def test_what_went_wrong_with_a_change_is_told_with_the_next_one_which_is_then_tried(tmp_path: Path) -> None:
    workers = LocalWorkers(tmp_path)
    assert workers.count() is None
    for _ in range(2):
        await workers.set_count(3, "people come")
        with pytest.raises(OSError, match="no fleet of this installation runs"):
            await workers.settled()
        with pytest.raises(OSError, match="no fleet of this installation runs"):
            await workers.set_count(3, "people come")


async def test_more_can_be_asked_for_while_people_leave_and_not_while_workers_are_started(tmp_path: Path) -> None:
    asked, started = list[int](), asyncio.Event()

    async def supervise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(json.loads(await reader.readline())["workers"])
        await started.wait()
        writer.write(b'{"arranged": 0}\n')  # and nobody has left yet
        await reader.read()
        writer.close()

    workers, path = LocalWorkers(tmp_path), tmp_path / "control.sock"
    remote.write_pointer(tmp_path, path)
    async with await asyncio.start_unix_server(supervise, path):
        await workers.set_count(1, "few are here")
        await workers.set_count(1, "few are here")
        with pytest.raises(OSError, match="the change to 1 is under way"):
            await workers.set_count(3, "people come")
        started.set()
        await workers.settled()
        await workers.set_count(3, "people come")
        await workers.settled()
    assert asked == [1, 3]
