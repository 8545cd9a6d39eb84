"""The scaler's way to the supervisor of this machine, when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime.adapters.processes import LocalWorkers


async def test_what_went_wrong_with_a_change_is_told_with_the_next_one_which_is_then_tried(tmp_path: Path) -> None:
    workers = LocalWorkers(tmp_path)
    assert workers.count() is None
    for _ in range(2):
        await workers.set_count(3, "people come")
        with pytest.raises(OSError, match="no fleet of this installation runs"):
            await workers.settled()
        with pytest.raises(OSError, match="no fleet of this installation runs"):
            await workers.set_count(3, "people come")
