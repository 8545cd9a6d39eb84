"""The black box: what the journal has goes into the file, and the file can be played again."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.models import QuerySet

from monitoring.day_log import lines
from monitoring.management.commands import day_log as exporting
from realtime.drills.replay import ReplayDrill, paced, read
from realtime.models import JournalEntry, Room
from wedsync.weddings.models import Wedding

NOON = datetime(2027, 6, 12, 12, tzinfo=UTC)


@pytest.fixture
def file(db: None, tmp_path: Path) -> Path:
    Wedding(slug="rose", names="A & B", venue="V", timezone="Europe/London", ceremony_at=NOON).save()
    room = Room.objects.get(name="rose")
    rows = [
        ("chat.crew", "m1", "planner", "c1", 0),
        ("timeline.items", "", "", None, 0),
        ("chat.guests", "m2", "guest", "c2", 7_200),
    ]
    for offset, (kind, member, role, client_id, at_s) in enumerate(rows, 1):
        JournalEntry.objects.create(
            room=room, offset=offset, kind=kind, audience=1, publication_id=f"p{offset}", member=member, role=role,
            client_id=client_id, data=json.dumps({"text": kind}), at=NOON + timedelta(seconds=at_s),
        )  # fmt: skip
    path = tmp_path / "rose.jsonl"
    call_command("day_log", "export", "rose", str(path))
    return path


def test_everything_is_in_the_file_and_only_its_owner_may_read_it(file: Path) -> None:
    head, *entries = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert head["wedding"] == "rose" and head["floor"] == 0
    assert [entry["offset"] for entry in entries] == [1, 2, 3]
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_was_there_is_for_its_owner_alone_and_what_is_no_file_keeps_its_mode(file: Path, tmp_path: Path) -> None:
    said = file.read_text(encoding="utf-8")
    file.chmod(0o644)
    call_command("day_log", "export", "rose", str(file))
    assert file.stat().st_mode & 0o777 == 0o600 and file.read_text(encoding="utf-8") == said
    pipe = tmp_path / "pipe"  # as good as /dev/null, and nobody misses it
    os.mkfifo(pipe)
    pipe.chmod(0o666)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as reader:
        call_command("day_log", "export", "rose", str(pipe))
        assert pipe.stat().st_mode & 0o777 == 0o666 and reader.read() == said


def test_what_people_said_is_played_again_and_what_the_server_derived_is_not(file: Path) -> None:
    log = read(str(file))
    assert [said.kind for said in log.said] == ["chat.crew", "chat.guests"] and log.derived == 1
    assert [log.roles[said.member] for said in log.said] == ["planner", "guest"]
    assert [round(said.t_s, 3) for said in paced(log, 60.0)] == [0.0, 1.0], "a long silence is cut short"
    assert [round(said.t_s, 3) for said in paced(log, 7_200.0 * 2)] == [0.0, 0.5]


@pytest.mark.parametrize("content", ["", "{}", '{"format": "wedsync day log 1", "wedding": "x"}', "no json"])
def test_another_file_is_misuse(tmp_path: Path, content: str) -> None:
    path = tmp_path / f"{abs(hash(content))}.jsonl"
    path.write_text(content, encoding="utf-8")
    for command in (("replay", str(path)), ("replay", str(tmp_path / "nowhere"))):
        with pytest.raises(CommandError) as error:
            call_command("drill", *command)
        assert error.value.returncode == 2
    assert ReplayDrill.name == "replay"


@pytest.mark.django_db
def test_a_database_that_is_away_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(QuerySet, "_fetch_all", away)
    with pytest.raises(CommandError, match="connection refused") as error:
        call_command("day_log", "export", "rose", str(tmp_path / "x"))
    assert error.value.returncode == 1


@pytest.mark.django_db
def test_a_wedding_that_is_not_there_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as error:
        call_command("day_log", "export", "nobody", str(tmp_path / "x"))
    assert error.value.returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_disk_that_is_full_is_said_and_the_database_is_let_go_of(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "lines", lambda slug: given)
    JournalEntry.objects.update(data=json.dumps({"text": "x" * 100_000}))
    given = lines("rose")
    with pytest.raises(CommandError, match=r"^/dev/full: No space left on device$"):
        call_command("day_log", "export", "rose", "/dev/full")
    assert given is not None and given.gi_frame is None, "it is closed while there is a connection"
