"""By which names this server may be asked, and for what by any."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from realtime.bootstrap import services

pytestmark = pytest.mark.django_db(transaction=True)
NAMES = ["10.1.2.3:8000", "elsewhere.example.org", "[fd00::7]:8000", "a_b", ""]
"""Of a pod, foreign ones, and none: what HAProxy's checks say (HTTP/1.0)."""


@pytest.fixture(autouse=True)
async def running(settings: Any) -> AsyncIterator[None]:
    """This process, with the name that the world has for it."""
    settings.ALLOWED_HOSTS = ["wedsync.example.com"]
    services.cache_clear()
    parts = services()
    await parts.start()
    yield
    await parts.stop()
    services.cache_clear()


async def answer(path: str, name: str, **more: str) -> tuple[int, bytes]:
    """(status, body) for somebody who calls this server `name`; "" sends no Host."""
    headers = more | ({"host": name} if name else {})
    told = await sync_to_async(Client().get)(path, headers=headers, SERVER_NAME="10.1.2.3", SERVER_PORT="8000")
    return told.status_code, told.content


@pytest.mark.parametrize("name", NAMES)
async def test_what_machines_ask_is_answered_whatever_they_call_this_server(name: str) -> None:
    asked = {path: (await answer(path, name))[0] for path in ("/healthz", "/openz", "/metrics", "/metrics/targets")}
    assert asked == dict.fromkeys(asked, 200)
    assert (await answer("/readyz", name))[0] in (200, 503)  # what it finds; a name is no reason
    assert (await answer("/metrics/workers/w7", name))[0] == 503, "nobody is there"


@pytest.mark.parametrize("path", ["/login/", "/", "/admin/login/", "/healthz/x", "/metricsx"])
@pytest.mark.parametrize("name", NAMES[:2])
async def test_pages_are_for_those_who_name_it_right(path: str, name: str) -> None:
    assert (await answer(path, name))[0] == 400
    assert (await answer(path, "wedsync.example.com"))[0] != 400


@pytest.mark.parametrize(("name", "target"), [("10.9.9.9:8001", b'"10.9.9.9:8001"'), ("", b'"10.1.2.3:8000"')])
async def test_prometheus_is_sent_where_it_asked(name: str, target: bytes) -> None:
    assert target in (await answer("/metrics/targets", name))[1]


async def test_the_token_of_the_metrics_is_asked_for_all_the_same(settings: Any) -> None:
    settings.METRICS_TOKEN = "of prometheus"
    for path in ("/metrics", "/metrics/targets", "/metrics/workers/w1"):
        assert (await answer(path, "10.1.2.3:8000"))[0] == 401
    assert (await answer("/metrics", "10.1.2.3:8000", authorization="Bearer of prometheus"))[0] == 200
