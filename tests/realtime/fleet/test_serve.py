"""`manage.py serve` before anything is started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from realtime import startup
from realtime.fleet import remote

pytestmark = pytest.mark.django_db(databases=["default", "history"])


@pytest.mark.parametrize("alias", ["default", "history"])
def test_a_database_without_tables_is_told_once_and_how_it_gets_them(
    alias: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = DatabaseWrapper(connections[alias].settings_dict | {"NAME": tmp_path / "empty.sqlite3"}, alias)
    monkeypatch.setattr(startup, "connections", {alias: empty})
    with pytest.raises(
        CommandError, match=rf"the database {alias} is not up to date \(\d+ migrations\): manage.py migrate"
    ) as told:
        call_command("serve", port=0)
    assert told.value.returncode == 2
    assert ("--database history" in str(told.value)) == (alias == "history")


def test_without_a_key_nothing_is_begun(settings: Any) -> None:
    settings.SECRET_KEY = ""
    with pytest.raises(CommandError, match="^SECRET_KEY is not set: ") as told:
        call_command("serve", port=0)
    assert told.value.returncode == 2


def test_a_database_that_is_away_is_no_reason_not_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = DatabaseWrapper(connections["default"].settings_dict | {"NAME": tmp_path / "no folder" / "x.sqlite3"}, "default")
    monkeypatch.setattr(startup, "connections", {"default": away})
    begun: list[Any] = []

    def begin(*address: Any) -> None:
        begun.append(address)
        raise OSError(98, "Address already in use")

    monkeypatch.setattr("realtime.fleet.processes.listen", begin)
    with pytest.raises(CommandError, match="cannot be had: Address already in use"):
        call_command("serve", port=1)
    assert begun == [("127.0.0.1", 1)]


def test_a_second_supervisor_of_an_installation_is_refused_and_takes_nothing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr("realtime.fleet.processes.listen", lambda *address: pytest.fail("it listens"))
    with remote.alone(tmp_path):
        remote.write_pointer(tmp_path, tmp_path / "control.sock")
        with pytest.raises(CommandError, match="runs already: process") as refused:
            call_command("serve", port=0)
        assert refused.value.returncode == 2 and "control.sock" in (tmp_path / remote.POINTER).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda var: (var / remote.POINTER).mkdir(), "/fleet.json cannot be had: Is a directory", id="pointer"),
        pytest.param(lambda var: var.rmdir() or var.touch(), " cannot be had: File exists", id="folder"),
    ],
)
def test_a_pointer_that_cannot_be_had_is_named(
    make: Callable[[Path], None], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.VAR_DIR = tmp_path / "var"
    settings.VAR_DIR.mkdir()
    make(settings.VAR_DIR)
    monkeypatch.setattr("realtime.fleet.processes.listen", lambda *address: pytest.fail("it listens"))
    with pytest.raises(CommandError, match=f"^{settings.VAR_DIR}{why}$") as refused:
        call_command("serve", port=0)
    assert refused.value.returncode == 2


def test_what_goes_wrong_later_is_not_laid_to_the_pointer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.VAR_DIR = tmp_path

    def fails(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("realtime.management.commands.serve.Command._serve", fails)
    with pytest.raises(OSError, match="No space left"):
        call_command("serve", port=0)


@pytest.mark.parametrize("host", ["a..b", "a" * 70, "no.such.host.invalid"])
def test_a_host_that_cannot_be_had_is_named(host: str, tmp_path: Path, settings: Any) -> None:
    settings.VAR_DIR = tmp_path
    with pytest.raises(CommandError, match=f"^{host}:0 cannot be had: ") as refused:
        call_command("serve", host=host, port=0)
    assert refused.value.returncode == 2
