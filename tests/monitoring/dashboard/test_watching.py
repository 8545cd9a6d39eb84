"""What is made of the reports: rates, minutes, promises, who is gone and where everybody went."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.dashboard.watching import GONE_S, Standing, Watch
from monitoring.dashboard.windows import PROMISE_WINDOW_S, Judged, Minute, Second
from realtime.histogram import merged
from realtime.report import WeddingReport, WorkerReport
from tests.monitoring.dashboard.fleet import NOON, timed, wedding, worker


def watched(*rounds: list[WorkerReport], watch: Watch | None = None, start_s: float = NOON) -> Watch:
    """One round a second."""
    watch = watch or Watch()
    for second, reports in enumerate(rounds):
        watch.step(reports, start_s + second)
    return watch


def test_what_a_worker_counted_before_anybody_looked_is_no_rate() -> None:
    watch = watched([worker(deliveries_total={"P3": 5_000})])
    assert watch.deliveries_per_s is None and sum(watch.minute.deliveries.values()) == 0
    watch = watched([worker(at_s=NOON + 1, deliveries_total={"P3": 5_400})], watch=watch, start_s=NOON + 1)
    assert watch.deliveries_per_s == pytest.approx(400) and sum(watch.minute.deliveries.values()) == 400


def test_a_worker_that_starts_while_somebody_looks_counts_from_its_first_delivery() -> None:
    fresh = worker("w2", NOON + 1, started_s=NOON + 0.5, deliveries_total={"P1": 30}, latency={"P1": timed((0.004, 30))})
    watch = watched([worker()], [worker(at_s=NOON + 1), fresh])
    assert watch.minute.deliveries["P1"] == 30
    latency, promise = watch.latency()
    assert latency[1].count == 30 and promise.p99_s == pytest.approx(0.004, rel=0.03) and promise.late == 0


def test_a_clock_that_is_set_back_changes_no_window_and_no_age() -> None:
    watch = watched(*([worker(at_s=NOON + n, deliveries_total={"P3": 10 * n})] for n in range(100)))
    for n in range(100, 130):
        watch.step([worker(at_s=NOON + n - 3_600, deliveries_total={"P3": 10 * n})], NOON + n, ahead_s=3_600)
    assert sum(watch.minute.deliveries.values()) == 600 and watch.minute.seconds == 60
    assert watch.workers()[0].heard_s == 0.0


@given(st.lists(st.tuples(st.integers(0, 3), st.dictionaries(st.integers(0, 5), st.integers(1, 9))), max_size=200))
def test_the_minute_is_the_sum_of_its_seconds(seconds: list[tuple[int, dict[int, int]]]) -> None:
    minute, at_s, taken = Minute(), NOON, []
    for gap, buckets in seconds:
        at_s += 1 + gap
        taken.append((at_s, buckets))
        minute.add(Second(at_s, 1.0, {"P1": sum(buckets.values())}, {"P1": buckets}, 1))
        kept = [b for t, b in taken if t > at_s - 60]
        assert dict(minute.latency["P1"]) == merged(kept) and minute.joins == len(kept)
        assert minute.deliveries["P1"] == sum(sum(b.values()) for b in kept)


@pytest.mark.parametrize(
    ("latency", "faults", "promise"),
    [
        ({}, 0, "quiet"),
        (timed((0.02, 99), (0.3, 1)), 0, "kept"),
        (timed((0.02, 98), (0.3, 2)), 0, "late"),
        (timed((0.02, 100)), 1, "broken"),
    ],
    ids=["nothing", "one in a hundred", "two in a hundred", "a gap"],
)
def test_a_wedding_is_judged_by_its_last_minutes(latency: dict[int, int], faults: int, promise: str) -> None:
    judged = Judged()
    judged.add(NOON, latency, faults)
    assert judged.promise == promise
    assert judged.forget(NOON + PROMISE_WINDOW_S + 5) and judged.promise == "quiet"


def test_a_promise_that_is_not_kept_comes_first_and_the_rest_is_counted() -> None:
    held = {f"w-{n}": wedding(10 + n) for n in range(40)}
    late = {name: WeddingReport({"guest": 1}, 0, 10, timed((0.5, 10))) if name == "w-3" else w for name, w in held.items()}
    watch = watched([worker(weddings=held)], [worker(at_s=NOON + 1, weddings=late)])
    rows, promises = watch.weddings(Standing(), {}, limit=5)
    assert [row.wedding for row in rows] == ["w-3", "w-39", "w-38", "w-37", "w-36"]
    assert rows[0].promise == "late" and rows[0].placed_why == "affinity" and sum(promises.values()) == 40


def killed(*, replaced: bool) -> Watch:
    """w1 is not heard of after noon; its wedding comes back on w2."""
    both = [worker(weddings={"rose": wedding(5)}), worker("w2", weddings={"lily": wedding(3)})]
    watch = watched(both)
    for second in (1, 2, 3):
        now_s = NOON + second
        reports = [both[0], worker("w2", now_s, weddings={"rose": wedding(5), "lily": wedding(3)})]
        if replaced:
            reports.append(worker("w1", now_s, tag="b", started_s=NOON + 0.5))
        watch.step(reports, now_s)
    return watch


@pytest.mark.parametrize("replaced", [False, True], ids=["silent", "another in its place"])
def test_a_killed_worker_is_gone_and_its_weddings_have_moved(replaced: bool) -> None:
    watch = killed(replaced=replaced)
    states = [(w.slot, w.state, w.went) for w in watch.workers()]
    assert ("w1", "gone", {"w2": 1}) in states and ("w2", "ready", {}) in states
    assert sum(sum(r.connections.values()) for r in watch.present) == 8  # nobody is counted twice
    (rose,) = [row for row in watch.weddings(Standing(), {})[0] if row.wedding == "rose"]
    assert rose.at == {"w2": 5} and rose.moved is not None and rose.moved.reason == "w1 is gone"


def test_what_is_long_gone_is_forgotten() -> None:
    watch = killed(replaced=False)
    later = NOON + 3 + GONE_S + 5
    for second in range(int(GONE_S) + 5):
        watch.step([worker("w2", NOON + 4 + second)], NOON + 4 + second)
    watch.step([worker("w2", later + 1)], later + 1)
    assert [w.slot for w in watch.workers()] == ["w2"]


def test_in_a_deploy_both_are_there_as_long_as_both_report() -> None:
    old, new = worker(weddings={"rose": wedding(5)}, state="draining"), worker(tag="b", started_s=NOON - 1)
    watch = watched([old, new])
    assert [w.state for w in watch.workers()] == ["draining", "ready"] and watch.gone == {}


def test_a_worker_that_went_on_purpose_has_ended() -> None:
    watch = watched([worker(state="draining"), worker("w2")], [worker("w2", NOON + 1)])
    (gone,) = [w for w in watch.workers() if w.gone]
    assert gone.reason == "it has ended"


def test_what_was_delivered_while_nobody_could_be_asked_is_not_of_now() -> None:
    watch = Watch()
    for second in [*range(100), *range(400, 431)]:
        held = {"rose": WeddingReport({"guest": 9}, 0, 10 * second, timed((0.5, second)), faults_total=int(second >= 200))}
        said = worker(
            at_s=NOON + second, deliveries_total={"P1": 1_000 * second}, latency={"P1": timed((0.004, second))},
            joins_total=second, weddings=held,
        )  # fmt: skip
        watch.step([said], NOON + second)
        if second == 400:
            assert watch.deliveries_per_s is None and watch.minute.deliveries["P1"] == 0 == watch.minute.joins
    assert watch.deliveries_per_s == 1_000 and watch.minute.seconds == 30
    assert watch.minute.deliveries["P1"] == 30_000 and watch.minute.joins == 30
    (rose,) = watch.weddings(Standing(), {})[0]
    assert rose.faults == 1 and rose.judged == 30, "a broken promise is told, whenever it was broken"


def test_a_worker_that_was_forgotten_and_comes_back_is_not_new() -> None:
    watch = watched([])
    for second in (1, 2, int(GONE_S) + 10):
        now_s = NOON + second
        held = {"rose": WeddingReport({"guest": 9}, faults_total=1)}
        said = worker(at_s=now_s, started_s=NOON + 0.5, deliveries_total={"P1": 1_000}, weddings=held)
        watch.step([said], now_s)
        for silent in range(int(GONE_S) + 5) if second == 2 else ():
            watch.step([], now_s + 1 + silent)
    assert watch.minute.deliveries["P1"] == 0
