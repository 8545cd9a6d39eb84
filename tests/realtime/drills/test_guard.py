"""When a drill on the running fleet is given up: as soon as somebody real is affected, and never for what it does to itself."""

from __future__ import annotations

import pytest

from realtime.drills.guard import Guard, victim
from realtime.fence import PREFIX, fenced
from realtime.histogram import Buckets, index_of
from realtime.report import WeddingReport, WorkerReport

SYNTHETIC = f"{PREFIX}0a1b-7-9-0"


def took(**counts: int) -> Buckets:
    """{"ms5": 100}: a hundred deliveries of 5 ms."""
    return {index_of(int(name.removeprefix("ms")) / 1_000): count for name, count in counts.items()}


def worker(name: str = "w1", **weddings: WeddingReport) -> WorkerReport:
    return WorkerReport(
        name, name, "here", 1, 0.0, 0.0, "ready", weddings={k.replace("_", "-"): v for k, v in weddings.items()}
    )


def wedding(latency: Buckets | None = None, faults: int = 0, guests: int = 10) -> WeddingReport:
    return WeddingReport({"guest": guests}, latency=latency or {}, faults_total=faults)


def guard(before: Buckets) -> Guard:
    """One that has seen how it usually is."""
    watch = Guard()
    watch.step([worker(rose=wedding())], 0.0)
    watch.step([worker(rose=wedding(before))], 1.0)
    watch.begin()
    return watch


def test_the_fence_is_a_name() -> None:
    assert fenced(SYNTHETIC) and not fenced("rose-garden")


def test_nothing_unusual_is_no_reason() -> None:
    assert guard(took(ms5=100)).step([worker(rose=wedding(took(ms5=200)))], 2.0) == ""


def test_late_real_deliveries_are() -> None:
    why = guard(took(ms5=100)).step([worker(rose=wedding(took(ms5=100, ms400=30)))], 2.0)
    assert "p99 of real weddings is 4" in why and "it was 5 ms before" in why


def test_a_fleet_that_is_always_slow_is_not_made_worse_by_being_slow() -> None:
    assert guard(took(ms400=100)).step([worker(rose=wedding(took(ms400=200)))], 2.0) == ""


def test_a_handful_of_deliveries_says_nothing() -> None:
    assert guard(took(ms5=100)).step([worker(rose=wedding(took(ms5=100, ms400=5)))], 2.0) == ""


def test_one_fault_on_a_real_screen_is_enough() -> None:
    assert "1 gaps" in guard({}).step([worker(rose=wedding(faults=1))], 2.0)


def test_what_happens_behind_the_fence_is_meant_to() -> None:
    spoiled = WorkerReport("w1", "w1", "here", 1, 0.0, 0.0, "ready", weddings={SYNTHETIC: wedding(took(ms900=900), faults=7)})
    assert guard(took(ms5=100)).step([spoiled], 2.0) == ""


def test_what_a_worker_did_before_it_was_looked_at_is_not_of_now() -> None:
    assert guard({}).step([worker("w2", rose=wedding(took(ms900=900), faults=3))], 2.0) == ""


@pytest.mark.parametrize(
    ("people", "chosen"),
    [
        ({"w1": (0, 9), "w2": (0, 3)}, None),
        ({"w1": (5, 0), "w2": (6, 40)}, "w2"),
        ({"w1": (5, 7), "w2": (5, 2)}, "w2"),
    ],
    ids=["nobody of the drill", "most of the drill", "fewest real ones"],
)
def test_who_is_hit(people: dict[str, tuple[int, int]], chosen: str | None) -> None:
    reports = [
        WorkerReport(
            name, name, "here", 1, 0.0, 0.0, "ready", connections={"guest": synthetic + real},
            weddings={SYNTHETIC: wedding(guests=synthetic), "rose": wedding(guests=real)},
        )
        for name, (synthetic, real) in people.items()
    ]  # fmt: skip
    assert victim(reports) == chosen
