"""What an operator reads when a database is away, and what a reader that has gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, get_commands, load_command_class
from django.db import DatabaseError, Error, InterfaceError, OperationalError, ProgrammingError
from psycopg import errors as psycopg_errors

from realtime.errors import JournalUnavailable
from realtime.management.shell import ShellCommand, unwritable

ROOT = Path(__file__).parents[2]
SERVERS = {"serve", "control_loop"}
"""They run while a database is away."""


def unavailable(cause: Exception | None) -> JournalUnavailable:
    error = JournalUnavailable()
    error.__cause__ = cause
    return error


def answered(error: Error, sqlstate: str) -> Error:
    """As Django hands on what PostgreSQL says."""
    error.__cause__ = psycopg_errors.lookup(sqlstate)(str(error))
    return error


REFUSED = OperationalError("connection failed: port 9 failed: Connection refused\n\tIs the server running?")


def test_an_argument_that_is_no_text_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    class Looking(ShellCommand):
        def handle(self, *args: Any, **options: Any) -> None:
            os.fsdecode(b"a\xff").encode()

    with pytest.raises(CommandError, match=r"^'a\\udcff' is no text in UTF-8$") as refused:
        Looking().execute(force_color=False, no_color=False, skip_checks=True)
    assert refused.value.returncode == 2


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OperationalError("no such table: realtime_room"), "not up to date (no such table: realtime_room): manage.py migrate"),
        (OperationalError("no such column: realtime_room.x"), "manage.py migrate"),
        (answered(ProgrammingError('relation "x" does not exist'), "42P01"), "manage.py migrate --database history"),
        (answered(ProgrammingError("column x does not exist"), "42703"), "manage.py migrate"),
        (answered(ProgrammingError("permission denied for table x"), "42501"), "this login may not do it (permission"),
        (answered(ProgrammingError("syntax error"), "42601"), "cannot do it (syntax error)"),
        (unavailable(answered(ProgrammingError("permission denied for table x"), "42501")), "this login may not do it"),
        (REFUSED, "(connection failed: port 9 failed: Connection refused Is the server running?); is it up"),
        (InterfaceError("connection already closed"), "DATABASE_URL"),
        (DatabaseError("database disk image is malformed"), "cannot do it (database disk image is malformed)"),
        (unavailable(OperationalError("no such table: realtime_room")), "manage.py migrate"),
        (unavailable(REFUSED), "Connection refused"),
    ],
    ids=str,
)
def test_a_database_that_cannot_be_asked_is_one_line_that_says_what_to_do(error: Exception, says: str) -> None:
    class Asking(ShellCommand):
        def handle(self, *args: Any, **options: Any) -> None:
            raise error

    with pytest.raises(CommandError) as told:
        Asking().execute(no_color=True, force_color=False, skip_checks=True)
    assert says in str(told.value) and "\n" not in str(told.value) and "nothing was published" not in str(told.value)
    assert told.value.returncode == 1


def test_every_command_of_an_operator_does_so() -> None:
    ours = {name: app for name, app in get_commands().items() if app in ("realtime", "monitoring", "wedsync.weddings")}
    assert {name for name, app in ours.items() if not isinstance(load_command_class(app, name), ShellCommand)} == SERVERS


def test_a_reader_that_has_gone_is_no_trouble(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "manage.py", "demo", "--show"],
        cwd=ROOT, env=os.environ | {"WEDSYNC_VAR": str(tmp_path)}, stdout=writer, stderr=subprocess.PIPE, timeout=60,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_file_that_cannot_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    assert [unwritable(tmp_path / name) for name in ("new", "there", ".", "no/new", "there/new", "n" * 300 + "/x")] == [
        *("", "", "it is a folder, a file is needed"),
        *["it cannot be written there"] * 3,
    ]
