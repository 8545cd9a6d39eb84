"""Behind a proxy that ends TLS: forms of the page's own https origin, and of no other."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client, RequestFactory

from realtime.access import origin_allowed
from tests.processes import ROOT
from wedsync.weddings.models import Member, Wedding

NAME = "wedsync.example.com"
HERE, THERE = f"https://{NAME}", "https://evil.example.com"


@pytest.fixture
def behind_tls(settings: Any) -> None:
    """The settings of a server with `WEDSYNC_HTTPS=1`."""
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.ALLOWED_HOSTS = [NAME]


@pytest.fixture
def guest(db: None) -> Member:
    wedding = Wedding.objects.create(
        slug="w", names="A & B", venue="V", timezone="Europe/London", ceremony_at=datetime(2027, 6, 12, 12, tzinfo=UTC)
    )
    return Member.objects.create(wedding=wedding, role="guest", name="Maya")


def sent(client: Client, path: str, origin: str, proto: str = "https", **fields: str) -> int:
    """Fetch the form and send it, as a browser does through the proxy."""
    through = {"host": NAME, "x-forwarded-proto": proto}
    client.get(path, headers=through)
    fields["csrfmiddlewaretoken"] = client.cookies["csrftoken"].value
    return client.post(path, fields, headers=through | {"origin": origin}).status_code


def test_these_are_the_settings_behind_tls(tmp_path: Path) -> None:
    env = os.environ | {"WEDSYNC_HTTPS": "1", "WEDSYNC_VAR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "wedsync.settings"}
    said = (
        "from django.conf import settings as s; print(s.SECURE_PROXY_SSL_HEADER, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE)"
    )
    told = subprocess.run([sys.executable, "-c", said], cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
    assert told == "('HTTP_X_FORWARDED_PROTO', 'https') True True\n"


@pytest.mark.usefixtures("behind_tls")
@pytest.mark.parametrize(("origin", "status"), [(HERE, 302), (THERE, 403), (f"http://{NAME}", 403), ("null", 403)])
def test_login_and_join_are_for_the_page_of_this_name(guest: Member, origin: str, status: int) -> None:
    get_user_model().objects.create_user("eve", password="of eve, long")
    client = Client(enforce_csrf_checks=True)
    assert sent(client, "/login/", origin, username="eve", password="of eve, long") == status
    assert sent(Client(enforce_csrf_checks=True), f"/join/{guest.join_key}/", origin) == status
    assert client.cookies["csrftoken"]["secure"]


@pytest.mark.usefixtures("behind_tls")
def test_who_came_without_tls_is_no_page_of_https(guest: Member) -> None:
    assert sent(Client(enforce_csrf_checks=True), f"/join/{guest.join_key}/", HERE, proto="http") == 403


@pytest.mark.usefixtures("behind_tls")
@pytest.mark.parametrize(("proto", "link"), [("https", f"{HERE}/"), ("http", f"http://{NAME}/")])
def test_links_that_are_copied_begin_as_the_page_did(proto: str, link: str) -> None:
    assert RequestFactory().get("/", headers={"host": NAME, "x-forwarded-proto": proto}).build_absolute_uri("/") == link


def test_without_a_proxy_nobody_is_believed(settings: Any) -> None:
    settings.ALLOWED_HOSTS = [NAME]
    asked = RequestFactory().get("/", headers={"host": NAME, "x-forwarded-proto": "https"})
    assert settings.SECURE_PROXY_SSL_HEADER is None and not asked.is_secure()


def test_a_websocket_of_the_same_page_may_use_the_session() -> None:
    assert origin_allowed(HERE, NAME, ()) and not origin_allowed(THERE, NAME, ())


def test_haproxy_says_how_somebody_came_and_not_what_a_client_says() -> None:
    config = (ROOT / "deploy/haproxy.cfg").read_text(encoding="utf-8")
    assert "\n    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]\n" in config
