"""A PostgreSQL that does not answer is away for those who have said how long they wait, and only for them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import OperationalError
from django.test import Client

from realtime.adapters.postgresql.base import ASK_AGAIN_S, DatabaseWrapper
from realtime.apps import PAGE_PATIENCE_S
from realtime.drills.postgres import Postgres
from realtime.patience import answer_within, patience_s
from tests.fakes import ManualClock

pytestmark = pytest.mark.django_db  # connections are opened here

PATIENCE_S = 0.3
Run = Callable[..., Any]


def wrapper(url: str) -> DatabaseWrapper:
    parts = urlsplit(url)
    options = {"connect_timeout": 5}
    where = {"NAME": parts.path[1:], "USER": parts.username, "HOST": parts.hostname, "PORT": parts.port, "OPTIONS": options}
    return DatabaseWrapper(connections[DEFAULT_DB_ALIAS].settings_dict | where, "of this test")


@pytest.fixture
def thread() -> Iterator[Run]:
    """Somebody who does not wait for ever."""
    with ThreadPoolExecutor(1, initializer=answer_within, initargs=(PATIENCE_S,)) as pool:
        yield lambda function, *args: pool.submit(function, *args).result(20)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    clock = ManualClock()
    monkeypatch.setattr(DatabaseWrapper, "clock", clock)
    return clock


def ask(database: DatabaseWrapper, statement: str) -> Any:
    with database.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()


def refused(database: DatabaseWrapper, statement: str = "SELECT 1") -> tuple[str, float]:
    """What it says, and after how many seconds."""
    begun_s = time.monotonic()
    with pytest.raises(OperationalError) as raised:
        ask(database, statement)
    database.close_if_unusable_or_obsolete()  # as `in_threads` does
    return str(raised.value), time.monotonic() - begun_s


@pytest.mark.acceptance
def test_an_answer_that_does_not_come_is_an_error_and_a_moment_later_it_is_asked_again(
    postgres: Postgres, thread: Run, clock: ManualClock
) -> None:
    def play() -> tuple[tuple[str, float], tuple[str, float], Any]:
        database = wrapper(postgres.database())
        try:
            hanging, again = refused(database, "SELECT pg_sleep(60)"), refused(database)
            clock.advance(ASK_AGAIN_S)
            return hanging, again, ask(database, "SELECT 1")
        finally:
            database.close()

    (said, after_s), (again, at_once_s), answer = thread(play)
    assert said == f"The database of this test did not answer within {PATIENCE_S} s."
    assert PATIENCE_S <= after_s < 5
    assert again == "The database of this test did not answer a moment ago." and at_once_s < PATIENCE_S
    assert answer == (1,)


def test_a_port_behind_which_nobody_answers_is_one_error_and_then_not_tried(thread: Run, clock: ManualClock) -> None:
    def play() -> tuple[str, str]:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            database = wrapper(f"postgres://wedsync@127.0.0.1:{silent.getsockname()[1]}/nothing")
            return refused(database)[0], refused(database)[0]

    first, second = thread(play)
    assert "timeout" in first
    assert second == "The database of this test did not answer a moment ago."


@pytest.mark.acceptance
def test_who_has_not_said_how_long_waits(postgres: Postgres) -> None:
    def play() -> None:
        assert patience_s() is None
        database = wrapper(postgres.database())
        try:
            assert ask(database, f"SELECT 1 FROM pg_sleep({2 * PATIENCE_S})") == (1,)
        finally:
            database.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(play).result(20)


def test_a_page_does_not_wait_for_ever() -> None:
    def play() -> float | None:
        assert Client().get("/nothing/").status_code == 404
        return patience_s()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(play).result(20) == PAGE_PATIENCE_S
