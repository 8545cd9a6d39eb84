"""A play over time: what belongs before, into and after an injection."""

from __future__ import annotations

from realtime.drills.course import POINTS_MAX, Course, Moment
from realtime.kinds import Priority


def course(*moments: Moment) -> Course:
    made = Course()
    made.begin(100.0)
    made.moments.extend(moments)
    return made


def test_a_latency_belongs_to_the_moment_it_was_meant_for_however_late_it_came() -> None:
    seen = course(Moment(10.0, "injection", "x"), Moment(12.0, "restoration", "y"))
    for at_s, took_s in ((105.0, 0.005), (110.5, 5.0), (120.0, 0.006)):
        seen.record(Priority.P1, took_s, at_s)
    phases = seen.phases()["P1"]
    assert [phases[phase].count for phase in ("before", "during", "after")] == [1, 1, 1]
    assert phases["during"].p99_ms and phases["during"].p99_ms > 4_900


def test_between_two_injections_it_is_after_the_first() -> None:
    seen = course(
        Moment(10.0, "injection", ""),
        Moment(12.0, "restoration", ""),
        Moment(30.0, "injection", ""),
        Moment(31.0, "detection", ""),
    )
    assert seen.harms() == [(10.0, 12.0), (30.0, float("inf"))]
    for at_s in (120.0, 140.0):
        seen.record(Priority.P0, 0.01, at_s)
    phases = seen.phases()["P0"]
    assert (phases["before"].count, phases["during"].count, phases["after"].count) == (0, 1, 1)


def test_without_an_injection_everything_is_before_it() -> None:
    seen = course()
    seen.record(Priority.P2, 0.01, 101.0)
    assert seen.phases()["P2"]["before"].count == 1


def test_nothing_counts_before_the_play_begins() -> None:
    seen = Course()
    seen.record(Priority.P2, 0.01, 101.0)
    assert seen.phases()["P2"]["before"].count == 0 and seen.since_s(5.0) == 0.0


def test_a_curve_is_no_longer_than_a_screen() -> None:
    seen = course()
    for second in range(3_600):
        seen.record(Priority.P3, 0.01, 100.0 + second)
    curve = seen.curve()
    assert len(curve) <= POINTS_MAX and all("P3" in point.p99_ms for point in curve)


def test_what_others_waited_for_is_told_apart() -> None:
    seen = course(Moment(10.0, "injection", "x"), Moment(12.0, "restoration", "y"))
    for at_s, took_s, together in ((105.0, 0.3, True), (110.5, 5.0, False), (110.6, 0.02, True), (120.0, 0.4, True)):
        seen.record(Priority.P1, took_s, at_s, together=together)
    others = seen.others((Priority.P0, Priority.P1))
    assert (others.count, others.p99_ms) == (1, 20.0)
    assert seen.phases()["P1"]["during"].count == 2
    assert seen.others((Priority.P3,)).p99_ms is None
