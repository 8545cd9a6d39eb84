"""The event loop that Twisted runs on."""

from __future__ import annotations

from contextlib import closing

import pytest

from realtime.adapters.reactor import Loop


@pytest.mark.parametrize("inexact_s", [0.0, 4e-12, -4e-12])
def test_a_timer_is_never_called_before_its_time(inexact_s: float) -> None:
    early: list[float] = []
    with closing(Loop()) as loop:
        dues = [loop.time() + 0.005 + n / 10_000 + inexact_s for n in range(40)]  # every tenth of a millisecond
        for due in dues:
            loop.call_at(due, lambda due=due: early.append(due - loop.time()))
        loop.call_at(dues[-1] + 0.005, loop.stop)
        loop.run_forever()
    assert len(early) == len(dues)
    assert max(early) <= 0.0
