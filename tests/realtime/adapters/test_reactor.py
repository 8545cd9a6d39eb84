"""The event loop that Twisted runs on."""

from __future__ import annotations

from contextlib import closing

from realtime.adapters.reactor import Loop


def test_a_timer_is_never_called_before_its_time() -> None:
    early: list[float] = []
    with closing(Loop()) as loop:
        dues = [loop.time() + 0.005 + n / 10_000 for n in range(40)]  # every tenth of a millisecond
        for due in dues:
            loop.call_at(due, lambda due=due: early.append(due - loop.time()))
        loop.call_at(dues[-1] + 0.005, loop.stop)
        loop.run_forever()
    assert len(early) == len(dues)
    assert max(early) <= 0.0
