"""The day report: figures that can be recounted, and a signature that notices a changed byte."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitoring.day_report import Journalled, Minute, Trouble, Wedding, build, latency, path, percentile_ms, sign, verify
from realtime.histogram import Histogram

START = datetime(2027, 6, 12, 8, 0, tzinfo=UTC)
END = START + timedelta(hours=2)
OURS = Wedding("rose-garden", "Ana & Tom", "Rose Garden", "Europe/London", START, END)
JOURNAL = Journalled({"P0": 1, "P1": 40, "P2": 9}, {"cue.go": 40, "chat.crew": 9, "emergency.alert": 1}, 1, 50, 0)
KEY = b"of these tests"


def minute(n: int, ms: float = 3.0, people: float = 20.0, **more: int) -> Minute:
    histogram = Histogram()
    histogram.record(ms / 1_000, 10)
    given = {"deliveries": 12, "replayed": 1, "faults": 0} | more
    return Minute(START + n * timedelta(minutes=1), {"guest": people, "planner": 1.0}, latency=histogram.counts, **given)


def test_the_figures_are_the_sums_of_the_minutes() -> None:
    report = build(OURS, JOURNAL, [minute(n) for n in range(120)], [], END + timedelta(hours=1))
    assert report.sent == {"P0": 1, "P1": 40, "P2": 9} and report.delivered == 1_440 and report.replayed == 120
    assert report.connected_minutes == {"guest": 2_400, "planner": 120} and report.most_people == 21
    assert report.latency is not None and report.latency.deliveries == 1_200 and report.latency.late == 0
    assert 3.0 <= report.latency.p50_ms == report.latency.p99_ms <= 3.0 * 1.022
    assert report.kept is True
    assert len(report.not_measured) == 1  # P3 is not counted one by one


def test_what_was_not_measured_is_said_and_not_made_up() -> None:
    report = build(OURS, JOURNAL, [], [], START + timedelta(minutes=30))
    assert (report.delivered, report.replayed, report.faults, report.latency, report.connected_minutes) == (None,) * 5
    assert report.kept is None
    said = " ".join(report.not_measured)
    assert "30 of 30 minutes" in said and "before the day's end" in said and "Latency" in said


@pytest.mark.parametrize(
    ("day", "hours"), [((2027, 11, 6, 14), 16), ((2027, 3, 13, 14), 14)], ids=["an hour comes twice", "an hour is left out"]
)
@pytest.mark.parametrize("lost", [0, 60])
def test_minutes_are_counted_on_a_night_when_clocks_change(day: tuple[int, ...], hours: int, lost: int) -> None:
    zone = ZoneInfo("America/New_York")
    start = datetime(*day, tzinfo=zone)  # type: ignore[arg-type,misc]
    end = (start.astimezone(UTC) + timedelta(hours=hours)).astimezone(zone)
    shift = start - START
    seen = [replace(at, at=at.at + shift) for at in map(minute, range(lost, hours * 60))]
    report = build(replace(OURS, start=start, end=end), JOURNAL, seen, [], end + timedelta(hours=1))
    said = [line for line in report.not_measured if "minutes" in line]
    assert [line.split(":")[0] for line in said] == ([f"{lost} of {hours * 60} minutes"] if lost else [])


@pytest.mark.parametrize(
    ("minutes", "journal", "kept"),
    [
        ([minute(0, 3.0)], JOURNAL, True),
        ([minute(0, 300.0)], JOURNAL, False),
        ([minute(0, faults=1)], JOURNAL, False),
        ([], Journalled({}, {}, 1, 50, 1), False),
    ],
    ids=["in time", "late", "a gap was seen", "an offset is missing"],
)
def test_the_promise(minutes: list[Minute], journal: Journalled, kept: bool) -> None:
    assert build(OURS, journal, minutes, [], END).kept is kept


@given(st.lists(st.floats(0.0001, 20), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_percentiles_are_those_of_the_raw_values_to_the_bucket(seconds: list[float], share: float) -> None:
    histogram = Histogram()
    for value in seconds:
        histogram.record(value)
    raw_ms = sorted(seconds)[max(1, -int(-share * len(seconds) // 1)) - 1] * 1_000
    assert raw_ms * 0.99 - 0.01 <= percentile_ms(histogram.counts, share) <= raw_ms * 1.034 + 0.01


def test_late_is_over_100_ms() -> None:
    histogram = Histogram()
    for ms in (99.0, 100.0, 105.0, 2_000.0):
        histogram.record(ms / 1_000)
    found = latency(histogram.counts)
    assert found is not None and found.late == 2


def test_a_signed_report_comes_back_and_every_changed_byte_is_noticed() -> None:
    trouble = Trouble(START, None, "A worker did not report", ["ada acknowledged"])
    report = build(OURS, JOURNAL, [minute(0)], [trouble], END)
    file = sign(report, KEY)
    assert verify(file, [KEY]) == report == verify(file, [b"newer", KEY])
    assert verify(file, [b"other"]) is None
    for place in range(len(file)):
        changed = bytearray(file)
        changed[place] ^= 1
        assert verify(bytes(changed), [KEY]) is None, place
    assert verify(file + b" ", [KEY]) is None and verify(file.replace(b",", b", ", 1), [KEY]) is None
    assert verify(b"", [KEY]) is None


def test_a_chart_lifts_its_pen_where_nothing_was_measured() -> None:
    assert path([0, None, 10, 20], 30, 10, 10) == "M0.0 10.0 M20.0 0.0 L30.0 0.0"
