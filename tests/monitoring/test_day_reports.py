"""Day reports from what was recorded: figures counted a second time, who may read them, what is kept."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from unittest.mock import patch

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client

from monitoring import day_report, day_reports
from monitoring.history import History
from monitoring.models import Alert, Incident, StoredReport, WeddingMinute
from monitoring.pruning import prune
from realtime.histogram import Histogram
from realtime.models import JournalEntry, Room
from realtime.report import WeddingReport, WorkerReport
from tests.fakes import START, ManualClock, queue_of_calls
from wedsync.weddings.models import Member, Wedding

pytestmark = pytest.mark.django_db(databases=["default", "history"])
SLUG = "rose-garden"


@pytest.fixture
def wedding() -> Wedding:
    return Wedding.objects.create(
        slug=SLUG, names="Ana & Tom", venue="Rose Garden", timezone="Europe/London", ceremony_at=START + timedelta(hours=3)
    )


def journal(*said: tuple[str, datetime]) -> None:
    room = Room.objects.get(name=SLUG)
    for offset, (kind, at) in enumerate(said, 1):
        JournalEntry.objects.create(
            room=room, offset=offset, kind=kind, audience=127, publication_id=f"p{offset}", member="m1", role="planner",
            data="{}", at=at,
        )  # fmt: skip


class Fleet:
    """Two workers with the same wedding; what they deliver is counted beside."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.history = History()
        self.made = {"w1": WeddingReport({}), "w2": WeddingReport({})}
        self.delivered = 0
        self.started = {"w1": 0.0, "w2": 0.0}

    def second(self, times: int = 1, *, workers: tuple[str, ...] = ("w1", "w2"), deliveries: int = 3) -> None:
        for _ in range(times):
            self.clock.advance(1)
            for name in workers:
                was, histogram = self.made[name], Histogram(dict(self.made[name].latency))
                histogram.record(0.004, deliveries)
                self.delivered += deliveries
                self.made[name] = WeddingReport(
                    {"guest": 10, "planner": 1}, 0, was.deliveries_total + deliveries, histogram.counts, was.replayed_total + 1
                )
            now = self.clock.now()
            reports = [
                WorkerReport(
                    f"{name}.1", name, "h", 1, now.timestamp(), self.started[name], "ready", weddings={SLUG: self.made[name]}
                )
                for name in workers
            ]
            self.history.take(reports, now)
            in_thread, finish = queue_of_calls()
            finish(self.history.write(in_thread))


def test_what_is_recorded_is_what_was_delivered(wedding: Wedding) -> None:
    fleet = Fleet()
    fleet.second()  # whoever takes over does not count what was before
    before = fleet.delivered
    fleet.second(59 + 120)
    expected = fleet.delivered - before
    fleet.second()
    rows = list(WeddingMinute.objects.all())
    assert [row.at for row in rows] == [START + timedelta(minutes=n) for n in range(3)]
    assert sum(row.deliveries for row in rows) == expected - 6  # the first second of the next minute is in the next row
    assert sum(sum(row.latency.values()) for row in rows) == sum(row.deliveries for row in rows)
    assert {row.connections["guest"] for row in rows} == {20.0}


def test_a_worker_that_comes_or_goes_loses_nothing(wedding: Wedding) -> None:
    fleet = Fleet()
    fleet.second(1, workers=("w1",))
    before = fleet.delivered
    fleet.second(29, workers=("w1",))
    fleet.started["w2"] = fleet.clock.now().timestamp()
    fleet.second(29)
    fleet.second(60, workers=("w2",))
    expected = fleet.delivered - before
    fleet.second(1, workers=("w2",))
    first, second = WeddingMinute.objects.all()
    assert first.deliveries + second.deliveries == expected
    assert second.connections == {"guest": 10.0, "planner": 1.0}


def test_the_figures_are_those_of_an_independent_count(wedding: Wedding) -> None:
    start, end = wedding.window
    inside, outside = start + timedelta(minutes=1), end + timedelta(minutes=1)
    journal(*[("cue.go", inside)] * 4, *[("chat.crew", inside)] * 3, ("emergency.alert", inside), ("chat.crew", outside))
    fleet = Fleet()
    fleet.second(181)
    report = day_reports.make(SLUG, end + timedelta(hours=1))
    assert report is not None
    assert report.sent == {"P0": 1, "P1": 4, "P2": 3} and report.sent_by_kind["chat.crew"] == 3
    rows = WeddingMinute.objects.all()
    assert report.delivered == sum(row.deliveries for row in rows) and report.replayed == sum(row.replayed for row in rows)
    assert report.connected_minutes == {"guest": 60, "planner": 6}
    JournalEntry.objects.filter(offset=2).delete()
    broken = day_reports.make(SLUG, end)
    assert broken is not None and broken.lost_in_journal == 1 and broken.kept is False
    Room.objects.update(floor=3)
    pruned = day_reports.make(SLUG, end)
    assert pruned is not None and pruned.lost_in_journal == 0 and any("pruned" in line for line in pruned.not_measured)


def test_troubles_are_those_of_this_wedding_and_of_the_whole_fleet(wedding: Wedding) -> None:
    start, _ = wedding.window
    incident = Incident.objects.create(title="t", started_at=start, detected_at=start)
    for number, labels in enumerate(({"worker": "w2"}, {"wedding": SLUG}, {"wedding": "harbour-loft"})):
        Alert.objects.create(
            fingerprint=f"f{number}", rule="wedding-late", labels=labels, severity="page", state="ok", told="firing",
            raised_at=start + timedelta(minutes=number), fired_at=start, resolved_at=start + timedelta(hours=1),
            reason="r", kept={"a": 1}, incident=incident,
        )  # fmt: skip
    incident.events.create(at=start + timedelta(minutes=5), kind="ack", text="wedding-late", author="ada")
    found = day_reports.troubles(SLUG, *wedding.window)
    assert [trouble.what for trouble in found] == [
        "One wedding is served late (worker w2)",
        "One wedding is served late (wedding rose-garden)",
    ]
    assert found[0].done[0].endswith("UTC Acknowledged: wedding-late (ada)")


def test_planner_couple_and_staff_read_it_and_nobody_else(wedding: Wedding) -> None:
    pages = [f"/weddings/{SLUG}/report/", f"/weddings/{SLUG}/report.json"]
    for role, status in (("planner", 200), ("couple", 200), ("vendor", 404), ("guest", 404), ("display", 404)):
        member = Member.objects.create(wedding=wedding, name=role, role=role)
        client = Client()
        client.post(f"/join/{member.join_key}/")
        assert [client.get(page).status_code for page in pages] == [status] * 2, role
    client = Client()
    assert client.get(pages[0]).status_code == 404
    client.force_login(get_user_model().objects.create_superuser("ada", password="x"))
    page = client.get(pages[0])
    assert page.status_code == 200 and b"Ana &amp; Tom" in page.content and b"not measured" in page.content
    assert "default-src 'none'" in page["Content-Security-Policy"] and b"<script" not in page.content
    assert client.get("/weddings/nobody/report/").status_code == 404


def test_a_day_that_is_over_is_kept_and_a_changed_byte_is_noticed(wedding: Wedding, tmp_path: Path) -> None:
    start, end = wedding.window
    journal(("cue.go", start + timedelta(minutes=1)))
    file, page, out = tmp_path / "day.json", tmp_path / "day.html", StringIO()
    assert day_reports.file_of(SLUG, end - timedelta(hours=1)) is not None and StoredReport.objects.count() == 0
    with patch("monitoring.management.commands.day_report.SystemClock.now", return_value=end + timedelta(hours=1)):
        call_command("day_report", SLUG, json=file, html=page, stdout=out)
    assert "Sent: 1 (1 of them urgent)" in out.getvalue() and page.read_text().startswith("<!doctype html>")
    assert StoredReport.objects.get().file.encode() == file.read_bytes()
    JournalEntry.objects.all().delete()
    assert day_reports.file_of(SLUG, end + timedelta(days=100)) == file.read_bytes()
    call_command("day_report", verify=file, stdout=out)
    changed = file.read_text().replace('"P1":1', '"P1":2')
    assert json.loads(changed) != json.loads(file.read_text())
    file.write_text(changed)
    with pytest.raises(CommandError, match="was changed") as refused:
        call_command("day_report", verify=file, stdout=out)
    assert refused.value.returncode == 1


@pytest.mark.parametrize(
    "options", [{}, {"slug": "nobody"}, {"slug": SLUG, "verify": Path("x")}, {"verify": Path("/nowhere/x")}]
)
def test_misuse_is_told_and_exits_with_two(wedding: Wedding, options: dict[str, object]) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("day_report", *([options.pop("slug")] if "slug" in options else []), **options)
    assert refused.value.returncode == 2


def test_old_minutes_go_when_their_report_is_kept(wedding: Wedding) -> None:
    fleet = Fleet()
    fleet.second(181)
    assert ("minutes of weddings", 3) in list(prune(START + timedelta(days=31)))
    assert WeddingMinute.objects.count() == 0 and StoredReport.objects.get().wedding == SLUG


def recorded(wedding: Wedding, count: int, deliveries: int) -> None:
    start, _ = wedding.window
    WeddingMinute.objects.bulk_create(
        WeddingMinute(
            wedding=wedding.slug, at=start + timedelta(minutes=n), connections={"guest": 8}, deliveries=deliveries, replayed=0,
            faults=0, latency={"300": 9},
        )
        for n in range(count)
    )  # fmt: skip


def test_a_wedding_that_was_put_off_has_the_report_of_its_new_day(wedding: Wedding) -> None:
    first = day_reports.file_of(SLUG, wedding.window[1] + timedelta(hours=1))
    assert first is not None and StoredReport.objects.get().file.encode() == first
    wedding.ceremony_at += timedelta(days=42)
    wedding.save()
    recorded(wedding, 100, deliveries=7)
    start, end = wedding.window
    assert day_reports.file_of(SLUG, end - timedelta(hours=1)) != first
    assert StoredReport.objects.get().file.encode() == first, "the day is not over"
    made = [count for name, count in prune(end + timedelta(days=40)) if name == "minutes of weddings"]
    assert made == [100] and WeddingMinute.objects.count() == 0
    kept = day_report.verify(StoredReport.objects.get().file.encode(), day_reports.keys())
    assert kept is not None and (kept.wedding.start, kept.delivered) == (start, 700)


def test_minutes_of_a_day_without_a_kept_report_stay(wedding: Wedding) -> None:
    recorded(wedding, 100, deliveries=7)
    now = wedding.window[1] + timedelta(days=31)
    with patch("monitoring.day_reports.file_of"):  # as when it could not be kept
        assert [name for name, _ in prune(now) if name == "minutes of weddings"] == []
    assert WeddingMinute.objects.count() == 100


def test_what_a_report_leaves_out_is_said(wedding: Wedding) -> None:
    start, end = wedding.window
    incident = Incident.objects.create(title="t", started_at=start, detected_at=start)
    for n in range(day_reports.TROUBLES_MAX + 13):
        at = start + timedelta(minutes=n)
        Alert.objects.create(
            fingerprint=f"f{n}", rule="worker-missing", labels={"worker": f"w{n}"}, severity="page", state="ok", told="firing",
            raised_at=at, fired_at=at, resolved_at=end, reason="r", kept={"a": 1}, incident=incident,
        )  # fmt: skip
    for n in range(day_reports.DONE_MAX + 4):
        incident.events.create(at=start + timedelta(hours=2), kind="note", text=f"note {n}", author="ada")
    report = day_reports.make(SLUG, end)
    assert report is not None and len(report.troubles) == day_reports.TROUBLES_MAX
    assert [line for line in report.not_measured if "13 more" in line]
    assert len(report.troubles[0].done) == day_reports.DONE_MAX + 1 and report.troubles[0].done[-1] == "And 4 more."
