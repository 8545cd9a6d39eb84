"""Where a supervisor can be asked, and what one that was killed has left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from realtime.fleet.remote import FOLDER, POINTER, Occupied, alone, clear_away, clear_pointer, write_pointer

NOBODY = 2**22
"""Above every pid (proc(5))."""


@pytest.mark.parametrize(
    ("name", "pid", "stays"),
    [
        pytest.param(f"{FOLDER}abc", NOBODY, False, id="of one that was killed"),
        pytest.param(f"{FOLDER}abc", os.getpid(), True, id="of one that runs"),
        pytest.param("precious", NOBODY, True, id="not a supervisor's"),
    ],
)
def test_only_what_a_killed_supervisor_has_left_is_cleared_away(tmp_path: Path, name: str, pid: int, stays: bool) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "redis.log").touch()
    (tmp_path / POINTER).write_text(json.dumps({"pid": pid, "socket": str(folder / "control.sock")}), encoding="utf-8")
    clear_away(tmp_path)
    assert folder.exists() == stays


def test_without_a_trace_of_one_nothing_happens(tmp_path: Path) -> None:
    clear_away(tmp_path)
    (tmp_path / POINTER).write_text("{", encoding="utf-8")
    clear_away(tmp_path)
    assert (tmp_path / POINTER).exists()


def test_one_supervisor_has_an_installation_and_the_next_hears_which(tmp_path: Path) -> None:
    with alone(tmp_path):
        with pytest.raises(Occupied, match="one that is starting"), alone(tmp_path):
            pass
        write_pointer(tmp_path, tmp_path / "control.sock")
        said = (tmp_path / POINTER).read_text(encoding="utf-8")
        with pytest.raises(Occupied, match=f"process {os.getpid()}"), alone(tmp_path):
            pass
        assert (tmp_path / POINTER).read_text(encoding="utf-8") == said, "it can still be asked"
        clear_pointer(tmp_path)
    with alone(tmp_path):
        pass


def test_what_a_killed_supervisor_has_left_keeps_nobody_out(tmp_path: Path) -> None:
    write_pointer(tmp_path, tmp_path / "control.sock")
    with alone(tmp_path):
        with pytest.raises(Occupied), alone(tmp_path):
            pass
        assert (tmp_path / POINTER).exists(), "it is held by the next one, under the same name"


def test_a_pointer_that_somebody_has_removed_is_clear(tmp_path: Path) -> None:
    with alone(tmp_path):
        write_pointer(tmp_path, tmp_path / "control.sock")
        (tmp_path / POINTER).unlink()
        clear_pointer(tmp_path)
        assert not (tmp_path / POINTER).exists()
