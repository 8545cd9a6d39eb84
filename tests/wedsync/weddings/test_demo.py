"""The demo: placed on today's date, once a day, and a day that moves by itself without drifting away."""

from __future__ import annotations

import io
import json
import random
import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.models import QuerySet

from realtime.config import RealtimeConfig
from realtime.draft import draft
from realtime.errors import RealtimeError
from realtime.journal import Journal
from realtime.messages import Sender
from realtime.models import JournalEntry, Room
from realtime.roles import VIEWS, Role
from tests.fakes import ManualClock
from wedsync.weddings.demo import DEMO, moved, place
from wedsync.weddings.demo.day import Scene, Word, next_word, owed_after
from wedsync.weddings.domain import domain
from wedsync.weddings.models import ApiToken, Member, RunSheetItem, Wedding

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2027, 7, 3, 12, 0, tzinfo=UTC)
PLANNER = Sender("m1", "planner", "Sam")
EVERYTHING = (Wedding, Member, RunSheetItem, ApiToken, Room, JournalEntry)


def everything() -> list[list[dict[str, Any]]]:
    return [list(model.objects.order_by("pk").values()) for model in EVERYTHING]


@pytest.fixture(autouse=True)
def fast_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PASSWORD_HASHERS", ["django.contrib.auth.hashers.MD5PasswordHasher"])


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "VAR_DIR", tmp_path)
    return tmp_path


def test_three_weddings_today() -> None:
    placed = place(NOON)
    assert set(placed["passwords"]) == {"planner", "admin"}
    for wedding in Wedding.objects.all():
        days = {item.start.astimezone(wedding.zone).date() for item in wedding.items.all()}
        assert max(days) == NOON.astimezone(wedding.zone).date() and wedding.demo
        assert len(days) == (2 if wedding.slug == "two-day-sangeet" else 1)
        roles = [member.role for member in wedding.members.all()]
        assert {role: roles.count(role) for role in ("planner", "couple", "guest", "display")} == {
            "planner": 1, "couple": 2, "guest": 5, "display": 1,
        }  # fmt: skip
        assert roles.count("vendor") == wedding.vendors > 5
        assert domain.token(wedding.slug, placed["weddings"][wedding.slug]["api_token"]) is not None


def test_the_surprise_is_for_planners_and_couple() -> None:
    place(NOON)
    titles = {role: {i["title"] for i in domain.items("rose-garden", VIEWS[role])} for role in Role}
    told = {role for role, seen in titles.items() if "Surprise fireworks" in seen}
    assert told == {Role.PLANNER, Role.COUPLE, Role.STAFF}
    assert "Sound check" in titles[Role.VENDOR] - titles[Role.GUEST]
    assert "Ceremony" in titles[Role.GUEST]


def test_the_same_day_changes_nothing() -> None:
    place(NOON)
    before = everything()
    again = place(NOON + timedelta(hours=1))
    assert everything() == before
    assert again["passwords"] == {} and {w["api_token"] for w in again["weddings"].values()} == {None}


def test_another_day_starts_anew() -> None:
    place(NOON)
    epochs = set(Room.objects.values_list("epoch", flat=True))
    ids = set(RunSheetItem.objects.values_list("pk", flat=True))
    RunSheetItem.objects.update(status="completed")
    Room.objects.update(last_offset=7, heads={"127": 7})
    place(NOON + timedelta(days=1))
    assert set(RunSheetItem.objects.values_list("status", flat=True)) == {"pending"}
    assert set(RunSheetItem.objects.values_list("pk", flat=True)) == ids
    assert not epochs & set(Room.objects.values_list("epoch", flat=True))
    assert set(Room.objects.values_list("last_offset", flat=True)) == {0}
    assert {w.ceremony_at.astimezone(w.zone).date() for w in Wedding.objects.all()} == {date(2027, 7, 4)}


@pytest.mark.parametrize("today", [date(2027, 6, 11), date(2027, 6, 13), date(2026, 1, 1)], ids=str)
def test_days_are_moved_all_at_once(today: date) -> None:
    assert moved("2027-06-11 a 2027-06-12 b", DEMO[2].days, today) == f"{today - timedelta(days=1)} a {today} b"


def test_the_command_keeps_the_logins_to_itself(var: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("demo", "--quiet")
    first = json.loads((var / "logins.json").read_text())
    assert stat.S_IMODE((var / "logins.json").stat().st_mode) == 0o600
    assert capsys.readouterr().out == ""
    call_command("demo", "--json")
    assert json.loads(capsys.readouterr().out) == first
    key = Member.objects.filter(wedding__slug="rose-garden", role="guest").values_list("join_key", flat=True)[0]
    assert f"/join/{key}/" in first["weddings"]["rose-garden"]["joins"].values()
    call_command("demo", "--show", "--url", "http://localhost:8000")
    shown = capsys.readouterr().out
    assert "http://localhost:8000/join/" in shown and first["passwords"]["planner"] in shown


def test_a_wider_file_of_logins_is_closed(var: Path) -> None:
    (var / "logins.json").write_text('{"passwords": {}, "weddings": {}}')
    (var / "logins.json").chmod(0o644)
    call_command("demo", "--quiet")
    assert stat.S_IMODE((var / "logins.json").stat().st_mode) == 0o600


# -- the day ----------------------------------------------------------------------------------------------------------


def scene(now: datetime = NOON, owed: dict[int, int] | None = None, slug: str = "rose-garden") -> Scene:
    wedding = Wedding.objects.get(slug=slug)
    return Scene(list(wedding.items.all()), list(wedding.members.all()), now, owed or {})


def words(seen: Scene, count: int, seed: int = 1) -> list[Word]:
    rng = random.Random(seed)
    return [word for _ in range(count) if (word := next_word(seen, rng)) is not None]


def test_the_clock_asks_for_the_oldest_first_and_for_cues_by_their_name() -> None:
    place(NOON)
    before_anything = scene(NOON.replace(hour=5))
    assert not {word.kind for word in words(before_anything, 60)} & {"timeline.event", "cue.go"}
    first = scene().items[0]
    told = [word for word in words(scene(NOON.replace(hour=8)), 30) if word.kind == "timeline.event"]
    assert {(word.data["item"], word.data["status"]) for word in told} == {(first.pk, "in_progress")}
    RunSheetItem.objects.filter(start__lt=NOON.replace(hour=13, minute=30)).update(status="completed")
    cue = RunSheetItem.objects.get(title="Processional cue")
    assert {word.data["item"] for word in words(scene(NOON.replace(hour=13, minute=31)), 30) if word.kind == "cue.go"} == {
        cue.pk
    }


def test_everything_is_said_by_somebody_who_may_and_the_same_seed_says_the_same() -> None:
    place(NOON)
    said = words(scene(), 200)
    assert {word.kind for word in said} == {
        "timeline.event", "chat.crew", "chat.guests", "vendor.status", "guest.checkin", "reaction", "timeline.shift",
    }  # fmt: skip
    assert said == words(scene(), 200)
    assert said != words(scene(), 200, seed=2)


def test_who_is_revoked_says_nothing() -> None:
    place(NOON)
    Member.objects.exclude(role="planner").update(revoked=True)
    assert {word.sender.role for word in words(scene(), 50)} == {"planner"}
    Member.objects.update(revoked=True)
    assert words(scene(), 5) == []


def test_what_was_shifted_is_owed_until_it_is_back() -> None:
    there = Word("timeline.shift", {"item": 4, "minutes": 5}, PLANNER)
    back = Word("timeline.shift", {"item": 4, "minutes": -5}, PLANNER)
    assert owed_after({}, there) == {4: -5}
    assert owed_after({4: -5}, back) == {}
    assert owed_after({4: -5}, Word("chat.crew", {"text": "x"}, PLANNER)) == {4: -5}


@pytest.mark.parametrize("slug", [demo.slug for demo in DEMO])
def test_the_day_does_not_drift_away(slug: str) -> None:
    """All shifts of a long day, carried out: whenever nothing is owed the run sheet stands as it was planned."""
    place(NOON)
    planned = set(RunSheetItem.objects.values_list("pk", "start", "minutes"))
    writer, rng, owed, shifts = Journal(domain, ManualClock()), random.Random(3), {}, 0
    now = NOON.replace(hour=0)
    for _ in range(200):
        word = next_word(scene(now, owed, slug), rng)
        if word is None or word.kind != "timeline.shift":
            continue
        outcome = writer.commit([draft(RealtimeConfig(), slug, word.kind, word.data, sender=word.sender)])[0]
        assert not isinstance(outcome, RealtimeError)
        owed, shifts = owed_after(owed, word), shifts + 1
        assert owed or set(RunSheetItem.objects.values_list("pk", "start", "minutes")) == planned
    assert shifts >= 4


def test_the_publisher_speaks_as_often_as_it_is_told(var: Path) -> None:
    call_command("demo", "--quiet")
    call_command("demo_day", "--count", "25", "--every", "0.001", "--seed", "5")
    assert JournalEntry.objects.exists()
    assert set(JournalEntry.objects.values_list("room__name", flat=True)) <= {demo.slug for demo in DEMO}


@pytest.mark.parametrize("every", ["0", "-1", "nan", "inf", "1e12"])
def test_a_pause_that_cannot_be_is_refused(every: str) -> None:
    with pytest.raises(CommandError, match="must be more than 0 seconds, at most a day"):
        call_command("demo_day", f"--every={every}")


@pytest.mark.parametrize(
    "options", [["--every", "0"], ["--count", "1"], ["--count=-1"]], ids=["no pause", "no demo", "no count"]
)
def test_the_publisher_says_what_is_missing(options: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("demo_day", *options)


DAMAGED = [b'{"passwords":', b"{}", b"[]", b"\xff", b'{"passwords": {}, "weddings": {"w": {}}}']


@pytest.mark.parametrize("raw", DAMAGED, ids=repr)
@pytest.mark.parametrize("options", [(), ("--show",)], ids=str)
def test_a_damaged_file_of_logins_is_told_and_kept(var: Path, raw: bytes, options: tuple[str, ...]) -> None:
    (var / "logins.json").write_bytes(raw)
    with pytest.raises(CommandError, match="logins.json is damaged") as caught:
        call_command("demo", *options)
    assert caught.value.returncode == 2 and (var / "logins.json").read_bytes() == raw


@pytest.mark.parametrize("command", [("demo",), ("demo_day", "--count", "1"), ("export_runsheet", "w")], ids=lambda c: c[0])
def test_without_tables_a_sentence_is_said(var: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    def no_such_table(*_: object, **__: object) -> None:
        raise OperationalError("no such table: weddings_wedding")

    monkeypatch.setattr(QuerySet, "_fetch_all", no_such_table)
    with pytest.raises(CommandError, match="no such table.*migrate"):
        call_command(*command)


def test_an_output_that_cannot_take_the_text_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    place(NOON)
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    with pytest.raises(CommandError, match="latin-1 only: name a FILE") as caught:
        call_command("export_runsheet", "rose-garden", stdout=narrow)
    assert caught.value.returncode == 2
