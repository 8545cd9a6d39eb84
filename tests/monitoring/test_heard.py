"""How many people there are while a worker is late, and after it has died."""

from __future__ import annotations

import pytest

from monitoring.heard import Heard
from realtime.report import WorkerReport


def report(slot: str, at_s: float, guests: int) -> WorkerReport:
    return WorkerReport(f"h.1.{slot}", slot, "h", 1, at_s, 0.0, "ready", connections={"guest": guests})


@pytest.mark.parametrize(
    ("w1", "w2", "people"),
    [
        # What each says from second to second; None: nothing new, the registry still holds what it said last.
        ([100, None, None, None], [100, 200, 200, 200], [200, 200, 200, 200]),
        ([100, None, None, None], [100, 100, 150, 200], [200, 200, 200, 200]),
        ([100, None, None, None, None], [100, 100, 100, 100, 150], [200, 200, 200, 100, 150]),
        ([100, None, 100, None, None, 100], [100] * 6, [200] * 6),
        ([100, None, 100], [100, 130, 130], [200, 200, 230]),
        ([100, None, None, 100], [100, None, 100, 90], [200, 200, 200, 190]),
    ],
    ids=["killed, back at once", "killed, back soon", "killed, back late", "late", "late while others come", "both late"],
)
def test_nobody_is_counted_twice_and_who_is_late_makes_no_dip(
    w1: list[int | None], w2: list[int | None], people: list[int]
) -> None:
    heard, said, found = Heard(), {}, []
    for second, both in enumerate(zip(w1, w2, strict=True)):
        for slot, guests in zip(("w1", "w2"), both, strict=True):
            if guests is not None:
                said[slot] = report(slot, float(second), guests)
        heard.step(list(said.values()), float(second))
        found.append(heard.people["guest"])
    assert found == people


def test_who_has_been_silent_for_long_is_not_there() -> None:
    heard = Heard()
    for second in range(4):
        heard.step([report("w1", 0.0, 5), report("w2", float(second), 3)], float(second))
    assert [fresh.slot for fresh in heard.fresh] == ["w2"] and heard.people == {"guest": 3}
    heard.step([], 4.0)
    assert heard.fresh == [] and heard.people == {}


def test_one_that_was_dead_before_it_was_first_heard_of_is_not_there() -> None:
    heard = Heard()
    heard.step([report("w1", 7.0, 5), report("w2", 9.3, 3)], 10.0)
    assert [fresh.slot for fresh in heard.fresh] == ["w2"] and heard.people == {"guest": 3}
