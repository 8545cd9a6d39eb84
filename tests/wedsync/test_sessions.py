"""Cookies of sessions that Django never made."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends import base, db
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from wedsync.weddings.demo import place
from wedsync.weddings.models import Withdrawn

NOON = datetime(2027, 7, 3, 12, 0, tzinfo=UTC)
KEY = "0123456789abcdefghijklmnopqrstuv"


@pytest.mark.parametrize(
    ("key", "read"),
    [
        (KEY, KEY),
        (KEY.upper(), KEY.upper()),
        ("aaaaaaaaaa\0", None),
        ("\0" * 32, None),
        ("aaaaaaaaaa\udcff", None),
        ("äöüäöüäöüä", None),
        ("aaaaaaaaaa'--", None),
        ("short", None),
        ("", None),
        (None, None),
    ],
)
def test_a_key_that_is_not_of_letters_and_digits_is_none(key: str | None, read: str | None) -> None:
    assert import_module(settings.SESSION_ENGINE).SessionStore(key).session_key == read


@pytest.mark.django_db
def test_a_page_does_not_ask_the_database_for_such_a_key() -> None:
    place(NOON)
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = "aaaaaaaaaa\0"
    with CaptureQueriesContext(connection) as asked:
        assert client.get("/").status_code in (200, 302)
    assert not [query for query in asked if "django_session" in query["sql"]]


@pytest.mark.django_db
def test_sessions_from_before_are_good_and_new_ones_work() -> None:
    assert "_validate_session_key(value)" in inspect.getsource(base.SessionBase._set_session_key)
    place(NOON)
    before = db.SessionStore()
    before["members"] = {"rose-garden": 1}
    before.create()
    assert import_module(settings.SESSION_ENGINE).SessionStore(before.session_key)["members"] == {"rose-garden": 1}
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    assert client.get("/admin/").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize(("login", "over"), [("s:a", ["s:a"]), (None, [])], ids=["an account's", "a guest's"])
@pytest.mark.parametrize("flush", [lambda session: session.flush(), lambda session: async_to_sync(session.aflush)()])
def test_with_a_session_its_login_is_over(flush: Callable[[Any], None], login: str | None, over: list[str]) -> None:
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session.update({"login": login} if login else {"members": {"rose-garden": "key"}})
    session.create()
    key = session.session_key
    flush(session)
    assert (session.session_key, session.exists(key), list(session.items())) == (None, False, [])
    assert list(Withdrawn.objects.values_list("role", flat=True)) == over
