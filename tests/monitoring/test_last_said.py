"""Who was absent goes on where it was; what is kept is bounded."""

from __future__ import annotations

from msgspec.structs import replace

from monitoring.last_said import ABSENT_MAX, ABSENT_S, LastSaid
from realtime.report import WorkerReport

NEW = WorkerReport("w1.1", "w1", "h", 1, 0.0, 0.0, "ready")


def test_who_is_forgotten_is_not_taken_for_new() -> None:
    said, now_s = LastSaid(), 1_000.0
    said.look(now_s)
    for n in range(ABSENT_MAX + 5):
        said.keep([replace(NEW, worker=f"w1.{n}", started_s=now_s + n)], now_s + n)
    assert len(said._last) == ABSENT_MAX + 1
    assert said.before(replace(NEW, worker="w1.0", started_s=now_s)) is None
    assert said.before(replace(NEW, worker="w1.9", started_s=now_s + 9)) is not None
    late_s = now_s + ABSENT_S + 1_000
    said.keep([], late_s)
    assert said._last == {} and said.before(replace(NEW, worker="w1.9", started_s=now_s + 9)) is None
    assert said.before(replace(NEW, worker="w1.new", started_s=late_s)) is not None
