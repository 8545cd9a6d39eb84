"""What a drill leaves that was killed itself: the next one clears it away, and nothing that belongs to one that runs."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from realtime.drills import leftovers, server
from realtime.drills.owner import dead, tag
from realtime.fence import PREFIX
from realtime.models import JournalEntry, Room
from wedsync.weddings.models import Wedding

NOW = datetime(2027, 6, 12, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def gone() -> str:
    """The tag of a process that has ended."""
    code = "from realtime.drills.owner import tag; print(tag())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_an_owner_is_alive_or_dead(gone: str) -> None:
    machine, pid, started = tag().split("-")
    assert dead(f"x-{gone}-y") and not dead(f"x-{tag()}-y")
    assert dead(f"{machine}-{pid}-{int(started) + 1}"), "the pid is used again"
    assert not dead("rose-garden") and not dead(f"ffff-{pid}-1"), "nobody's, or another machine's"


def test_folders_of_the_dead_go(gone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    for owner in (gone, tag()):
        (tmp_path / f"{server.FOLDER}{owner}-x").mkdir()
    leftovers._folders()
    assert [path.name for path in tmp_path.iterdir()] == [f"{server.FOLDER}{tag()}-x"]


def test_folders_on_a_disk_that_is_full_go_too(gone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full, elsewhere = tmp_path / "full", tmp_path / "elsewhere"
    monkeypatch.setenv("TMPDIR", str(full))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(elsewhere))
    for place in (full, elsewhere):
        (place / f"{server.FOLDER}{gone}-x").mkdir(parents=True)
    leftovers._folders()
    assert not any(full.iterdir()) and not any(elsewhere.iterdir())


@pytest.mark.django_db
def test_weddings_of_the_dead_go_with_everything_that_was_said(gone: str) -> None:
    mine, theirs = f"{PREFIX}{tag()}-0", f"{PREFIX}{gone}-0"
    server.seed([mine, theirs, "rose-garden"], NOW)
    JournalEntry.objects.create(
        room=Room.objects.get(name=theirs),
        offset=1,
        kind="chat.crew",
        audience=1,
        publication_id="p",
        member="m",
        at=NOW,
        data="{}",
    )
    assert leftovers._weddings() == [theirs]
    assert set(Wedding.objects.values_list("slug", flat=True)) == {mine, "rose-garden"}
    assert not Room.objects.filter(name=theirs).exists() and not JournalEntry.objects.exists()


def test_a_real_wedding_is_never_removed() -> None:
    with pytest.raises(ValueError, match="rose-garden is no wedding of a drill"):
        leftovers.remove(["rose-garden"])


def test_a_full_disk_is_said_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    with pytest.raises(server.DrillFailed, match="No space left"), server._folder():
        pass
