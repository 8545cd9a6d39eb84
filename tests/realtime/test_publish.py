"""The front doors for Django code and for other languages, on a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.db import OperationalError, transaction
from django.test import AsyncClient
from msgspec.structs import replace

from realtime.access import issue_ticket
from realtime.bootstrap import services
from realtime.errors import Forbidden, Invalid, JournalUnavailable, RealtimeError, Refused, Unanswered, UnknownRoom
from realtime.messages import Sender
from realtime.models import JournalEntry, OutboxEntry
from realtime.performance_optimizer import Tuning
from realtime.publish import Published, apublish, publish
from realtime.report import WorkerReport
from realtime.reporting import report
from realtime.routing import router
from realtime.services import WEB_SLOT, Services
from wedsync.weddings.models import ApiToken, Wedding

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/api/weddings/w/publish/"
FIRE = {"alert": "a", "category": "fire", "text": "out"}


@pytest.fixture
def wedding() -> Wedding:
    noon = datetime(2027, 6, 12, 12, tzinfo=UTC)
    return Wedding.objects.create(slug="w", names="A & B", venue="V", timezone="Europe/London", ceremony_at=noon)


@pytest.fixture
async def parts(wedding: Wedding) -> AsyncIterator[Services]:
    """The services of this process, running on the loop of the test."""
    services.cache_clear()
    running = services()
    await running.start()
    yield running
    await running.stop()
    services.cache_clear()


@pytest.fixture
def alone(wedding: Wedding) -> Any:
    """A process without a running hub, such as a command."""
    services.cache_clear()
    yield
    services.cache_clear()


@pytest.fixture
def gate(parts: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Event]:
    """The writer of the process does nothing until this is set."""
    opened, works = asyncio.Event(), parts.committer._in_thread

    async def in_thread(function: Any, *args: Any) -> Any:
        await opened.wait()
        return await works(function, *args)

    monkeypatch.setattr(parts.committer, "_in_thread", in_thread)
    yield opened
    opened.set()


def stored() -> list[tuple[int, str]]:
    return list(JournalEntry.objects.order_by("offset").values_list("offset", "data"))


def test_from_a_command(alone: None) -> None:
    first = publish("w", "chat.crew", {"text": "1"}, id="x")
    assert (first.offset, first.duplicate) == (1, False)
    assert publish("w", "chat.crew", {"text": "1"}, id="x").duplicate
    assert publish("w", "reaction", {"target": "t", "emoji": "x"}).offset == 0
    assert stored() == [(1, '{"text":"1"}')]


def test_inside_a_transaction_it_follows_the_commit(alone: None) -> None:
    with transaction.atomic():
        assert publish("w", "chat.crew", {"text": "1"}).deferred
        assert stored() == []
    assert stored() == [(1, '{"text":"1"}')] and not OutboxEntry.objects.exists()


def test_all_of_a_big_transaction_follows_its_commit(alone: None) -> None:
    with transaction.atomic():
        for n in range(600):
            publish("w", "chat.crew", {"text": str(n)})
    assert len(stored()) == 600


def test_inside_a_transaction_that_fails_it_never_happens(alone: None) -> None:
    with pytest.raises(KeyError), transaction.atomic():
        publish("w", "chat.crew", {"text": "1"})
        raise KeyError
    assert stored() == [] and not OutboxEntry.objects.exists()


BAD: list[tuple[str, str, dict[str, Any], Sender | None, type[RealtimeError], str]] = [
    ("w", "chat.crew", {"text": 1}, None, Invalid, "data.text"),
    ("w", "chat.crew", {"txet": "1"}, None, Invalid, "data"),
    ("w", "chat.crew", {"text": "1"}, Sender("m1", "guest"), Forbidden, "kind"),
    ("w", "chat.secret", {}, None, Invalid, "kind"),
    ("nowhere", "chat.crew", {"text": "1"}, None, UnknownRoom, "room"),
    ("w", "timeline.shift", {"item": 5, "minutes": 1}, None, Refused, "data.item"),
]


@pytest.mark.parametrize(("room", "kind", "data", "sender", "error", "field"), BAD)
def test_what_is_wrong_is_named_and_nothing_stored(
    alone: None, room: str, kind: str, data: dict[str, Any], sender: Sender | None, error: type[RealtimeError], field: str
) -> None:
    with pytest.raises(error) as caught:
        publish(room, kind, data, **({"sender": sender} if sender else {}))
    assert caught.value.field == field and caught.value.message
    assert stored() == []


@pytest.mark.parametrize("field", ["id", "replaces"])
@pytest.mark.parametrize("value", ["x" * 65, "a b", "é", "a\0"], ids=["too long", "a space", "no ASCII", "NUL"])
def test_an_id_that_the_wire_forbids_is_refused_and_the_transaction_goes_on(alone: None, field: str, value: str) -> None:
    with transaction.atomic():
        Wedding.objects.update(vendors=3)
        with pytest.raises(Invalid) as caught:
            publish("w", "chat.crew", {"text": "1"}, **{field: value})  # type: ignore[arg-type]
        publish("w", "chat.crew", {"text": "2"}, id="x" * 64)
    assert caught.value.field == field and field in caught.value.message
    assert stored() == [(1, '{"text":"2"}')] and Wedding.objects.get().vendors == 3


async def test_from_a_coroutine_and_from_a_thread_beside_it(parts: Services) -> None:
    assert (await apublish("w", "chat.crew", {"text": "1"})).offset == 1
    assert (await sync_to_async(publish)("w", "chat.crew", {"text": "2"})).offset == 2


BOTH = pytest.mark.parametrize("say", [apublish, sync_to_async(publish)], ids=["apublish", "publish"])


@BOTH
async def test_an_emergency_is_answered_when_it_has_left_without_the_journal(gate: asyncio.Event, say: Any) -> None:
    assert await say("w", "emergency.alert", FIRE, id="f") == Published("f", provisional=True)
    gate.set()
    assert await say("w", "emergency.alert", FIRE, id="f") == Published("f", 1, duplicate=True)


@BOTH
async def test_what_the_journal_does_not_answer_in_time_can_be_said_again(
    gate: asyncio.Event, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as impatient, pytest.raises(Unanswered) as caught:
        impatient.setattr("realtime.publish.ANSWER_S", 0.01)
        await say("w", "chat.crew", {"text": "1"})
    assert caught.value.id in caught.value.message
    gate.set()
    assert await say("w", "chat.crew", {"text": "1"}, id=caught.value.id) == Published(caught.value.id, 1, duplicate=True)


@BOTH
@pytest.mark.parametrize("running", [True, False], ids=["beside the hub", "alone"])
async def test_a_commit_that_fails_names_the_id_to_say_again(
    wedding: Wedding, running: bool, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(drafts: Any) -> Any:
        raise JournalUnavailable

    services.cache_clear()
    parts = services()
    monkeypatch.setattr(parts.journal, "commit", lost)
    if running:
        await parts.start()
    with pytest.raises(Unanswered) as caught:
        await say("w", "chat.crew", {"text": "1"}, id="x")
    assert (caught.value.id, caught.value.retry_after_ms) == ("x", 1_000)
    await parts.stop()
    services.cache_clear()


async def test_publish_does_not_stop_a_loop(parts: Services) -> None:
    with pytest.raises(SynchronousOnlyOperation, match="apublish"):
        publish("w", "chat.crew", {"text": "1"})
    assert await sync_to_async(stored)() == []


def test_a_loop_for_a_moment_tells_the_other_processes_and_is_nobodys_home(alone: None) -> None:
    parts, told = services(), []
    parts.announce = lambda entries: told.extend((entry.kind, entry.offset) for entry in entries)
    for kind, data in [("chat.crew", {"text": "1"}), ("reaction", {"target": "t", "emoji": "x"})]:
        asyncio.run(apublish("w", kind, data))
    assert told == [("chat.crew", 1), ("reaction", 0)]
    assert parts.loop is None and publish("w", "chat.crew", {"text": "2"}).offset == 2


async def test_a_loop_beside_that_of_the_hub_publishes_through_it(parts: Services) -> None:
    beside = sync_to_async(lambda: asyncio.run(apublish("w", "chat.crew", {"text": "1"})), thread_sensitive=False)
    assert (await beside()).offset == 1


async def test_a_transaction_beside_the_hub_is_swept_at_once(parts: Services) -> None:
    def change() -> None:
        with transaction.atomic():
            Wedding.objects.update(vendors=3)
            publish("w", "chat.crew", {"text": "1"})

    await sync_to_async(change)()
    for _ in range(200):
        if found := await sync_to_async(stored)():
            break
        await asyncio.sleep(0.01)
    assert found == [(1, '{"text":"1"}')]


async def post(body: Any, token: str = "") -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    text = body if isinstance(body, str) else json.dumps(body)
    response = await AsyncClient().post(URL, text, content_type="application/json", headers=headers)
    return response.status_code, json.loads(response.content)


async def token() -> str:
    issued: str = await sync_to_async(lambda: ApiToken.issue(Wedding.objects.get(), "test"))()
    return issued


async def test_over_http_the_answer_comes_after_the_commit(parts: Services) -> None:
    key = await token()
    body = {"kind": "chat.crew", "data": {"text": "1"}, "id": "x"}
    assert await post(body, key) == (201, {"id": "x", "duplicate": False, "offset": 1})
    assert await post(body, key) == (200, {"id": "x", "duplicate": True, "offset": 1})


async def test_over_http_with_a_ticket_the_role_decides(parts: Services) -> None:
    ticket = issue_ticket("w", Sender("m1", "guest"), now=parts.clock.now(), ttl_s=60, reusable=True)
    assert (await post({"kind": "chat.guests", "data": {"text": "1"}}, ticket))[0] == 201
    assert (await post({"kind": "chat.crew", "data": {"text": "1"}}, ticket))[1]["error"]["code"] == "forbidden"


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"kind": "chat.guests", "data": {"text": text}} | more


def held_by(parts: Services, role: str, **more: Any) -> str:
    return issue_ticket("w", Sender("m1", role), now=parts.clock.now(), ttl_s=60, **more)


async def test_over_http_a_single_use_ticket_is_spent(parts: Services) -> None:
    once = held_by(parts, "guest")
    assert [(await post(chat("1"), once))[0] for _ in range(2)] == [201, 403]
    socket = WebsocketCommunicator(router(parts), "/ws/weddings/w/", headers=[(b"authorization", f"Bearer {once}".encode())])
    assert (await socket.connect())[0] is False
    await socket.disconnect()


async def test_over_http_a_person_has_the_allowance_of_its_sockets(parts: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts.clock, "monotonic", lambda: 1_000.0, raising=False)
    vendor, guest, key = held_by(parts, "vendor", reusable=True), held_by(parts, "guest", reusable=True), await token()
    for _ in range(4):
        parts.intake.pay("w", Sender("m1", "guest"))
    assert [(await post(chat("1"), guest))[0] for _ in range(7)] == [201] * 6 + [429]
    cries = [{"kind": "emergency.alert", "data": {"alert": f"a{n}", "category": "fire", "text": "!"}} for n in range(4)]
    assert [(await post(cry, vendor))[0] for cry in cries] == [201] * 3 + [429]
    assert [(await post(chat("1"), key))[0] for _ in range(61)] == [201] * 61, "a program is not a person"


async def test_over_http_who_is_refused_for_now_is_told_when_to_come_back(parts: Services, monkeypatch: Any) -> None:
    guest = held_by(parts, "guest", reusable=True)
    monkeypatch.setattr(parts.clock, "monotonic", lambda: 1_000.0, raising=False)
    monkeypatch.setattr(parts.optimizer, "step", lambda *_: Tuning(shed_level=3))
    parts.hub.flushing.tuning = Tuning(shed_level=3)
    for status, code, wait_ms, wait_s in [(503, "overloaded", 5_000, "5")] * 10 + [(429, "rate_limited", 1_001, "2")]:
        headers = {"Authorization": f"Bearer {guest}"}
        answer = await AsyncClient().post(URL, json.dumps(chat("1")), content_type="application/json", headers=headers)
        error = json.loads(answer.content)["error"]
        assert (answer.status_code, error["code"], error["retry_after_ms"]) == (status, code, wait_ms)
        assert answer.headers["Retry-After"] == wait_s
    assert parts.hub.measures.shed["guest"] == 10
    assert (await post(chat("1"), held_by(parts, "planner")))[0] == 201


@pytest.mark.parametrize(("role", "status"), [("guest", 413), ("vendor", 413), ("planner", 201)])
async def test_over_http_a_message_is_as_large_as_the_role_allows(parts: Services, role: str, status: int) -> None:
    found, answer = await post(json.dumps(chat("1")).replace("{", "{" + " " * 10_000), held_by(parts, role))
    assert (found, answer.get("error", {}).get("code")) == (status, "too_large" if status == 413 else None)


HTTP_BAD = [
    ("not json", "{", 400, "malformed"),
    ("unknown field", {"kind": "chat.crew", "data": {"text": "1"}, "x": 1}, 400, "malformed"),
    ("bad id", {"kind": "chat.crew", "data": {"text": "1"}, "id": "a b"}, 400, "malformed"),
    ("bad moment", {"kind": "chat.crew", "data": {"text": "1"}, "expires_at": "soon"}, 400, "malformed"),
    ("wrong data", {"kind": "chat.crew", "data": {"text": 1}}, 422, "invalid"),
    ("unknown kind", {"kind": "nope", "data": {}}, 422, "unknown_kind"),
    ("not on the run sheet", {"kind": "cue.go", "data": {"item": 99}}, 409, "refused"),
    ("too large", {"kind": "chat.crew", "data": {"text": "x" * 70_000}}, 413, "too_large"),
]


@pytest.mark.parametrize(("body", "status", "code"), [bad[1:] for bad in HTTP_BAD], ids=[bad[0] for bad in HTTP_BAD])
async def test_over_http_errors_have_a_code_and_a_sentence(parts: Services, body: Any, status: int, code: str) -> None:
    found, answer = await post(body, await token())
    assert (found, answer["error"]["code"]) == (status, code)
    assert answer["error"]["message"] and await sync_to_async(stored)() == []


@pytest.mark.parametrize(("key", "status"), [("", 401), ("wrong", 403), ("a.b", 403)])
async def test_over_http_without_the_right_token(parts: Services, key: str, status: int) -> None:
    found, answer = await post({"kind": "chat.crew", "data": {"text": "1"}}, key)
    assert (found, answer["error"]["code"]) == (status, "bad_credentials")


async def test_a_revoked_token_is_refused(parts: Services) -> None:
    key = await token()
    await sync_to_async(ApiToken.objects.update)(revoked_at=parts.clock.now())
    assert (await post({"kind": "chat.crew", "data": {"text": "1"}}, key))[0] == 403


@pytest.mark.parametrize("known", [True, False], ids=["asked every second", "the first request after a restart"])
async def test_over_http_a_ticket_of_one_whose_access_was_withdrawn_is_refused(parts: Services, known: bool) -> None:
    ticket = issue_ticket("w", Sender("u99", "staff"), now=parts.clock.now(), ttl_s=60, reusable=True)
    parts.hub.expel(await sync_to_async(parts.domain.revoked)() if known else frozenset())
    parts.ticked_s = parts.clock.monotonic() if known else None
    assert (await post({"kind": "chat.crew", "data": {"text": "1"}}, ticket))[0] == 403


async def test_an_emergency_over_http_goes_ahead_after_a_restart_without_the_database(
    parts: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> Any:
        raise OperationalError

    monkeypatch.setattr(parts.domain, "revoked", away)
    parts.ticked_s = None
    ticket = issue_ticket("w", Sender("m1", "planner"), now=parts.clock.now(), ttl_s=60, reusable=True)
    alert = {"kind": "emergency.alert", "data": {"alert": "a", "category": "fire", "text": "out"}}
    assert (await post(alert, ticket))[0] == 201


@pytest.fixture
def away(parts: Services, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and no API token can be looked up any more."""

    def lookup(room: str, token: str) -> Any:
        raise OperationalError

    return lambda: monkeypatch.setattr(parts.domain, "token", lookup)


async def test_over_http_without_the_database_a_program_is_told_to_come_back(parts: Services, away: Callable[[], None]) -> None:
    key = await token()
    away()
    status, answer = await post({"kind": "emergency.alert", "data": FIRE}, key)
    assert (status, answer["error"]["code"], answer["error"]["retry_after_ms"]) == (503, "journal_unavailable", 1_000)


@pytest.mark.parametrize("welcome", [True, False], ids=["good lately", "withdrawn since"])
async def test_over_http_without_the_database_the_alarm_of_a_program_goes_out(
    parts: Services, gate: asyncio.Event, away: Callable[[], None], welcome: bool
) -> None:
    gate.set()
    key = await token()
    assert (await post(chat("1"), key))[0] == 201
    gate.clear()
    if not welcome:
        await sync_to_async(ApiToken.objects.all().delete)()
    parts.hub.expel(await sync_to_async(parts.domain.revoked)())
    away()
    status, answer = await post({"kind": "emergency.alert", "data": FIRE, "id": "f"}, key)
    if welcome:
        assert (status, answer) == (202, {"id": "f", "provisional": True})
    else:
        assert (status, answer["error"]["code"]) == (503, "journal_unavailable")


async def test_over_http_an_emergency_with_a_ticket_is_answered_when_it_has_left(parts: Services, gate: asyncio.Event) -> None:
    alarm = {"kind": "emergency.alert", "data": FIRE, "id": "f"}
    assert await post(alarm, held_by(parts, "planner")) == (202, {"id": "f", "provisional": True})


async def test_over_http_what_was_not_answered_in_time_names_its_id(
    parts: Services, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.publish.ANSWER_S", 0.01)
    status, answer = await post(chat("1"), held_by(parts, "guest"))
    assert (status, answer["error"]["code"]) == (503, "journal_unavailable") and answer["error"]["id"]


async def test_readiness_names_what_is_wrong(parts: Services) -> None:
    for _ in range(200):
        if parts.ticked_s is not None:
            break
        await asyncio.sleep(0.01)
    response = await AsyncClient().get("/readyz")
    assert (response.status_code, json.loads(response.content)["ready"]) == (200, True)
    parts.committer.down = True
    response = await AsyncClient().get("/readyz")
    assert (response.status_code, json.loads(response.content)["checks"]["writer"]) == (503, False)


@pytest.mark.parametrize(("healthy", "stores"), [([True, False], True), ([False, False], False), ([], True)])
async def test_the_web_process_says_whether_any_worker_stores_what_is_published(
    parts: Services, healthy: list[bool], stores: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [replace(report(parts), worker=f"h.{number}.x", journal_healthy=well) for number, well in enumerate(healthy)]

    async def reports() -> list[WorkerReport]:
        return said

    monkeypatch.setattr(parts.registry, "reports", reports)
    parts.slot = WEB_SLOT
    checks = json.loads((await AsyncClient().get("/readyz")).content)["checks"]
    assert checks["writer"] is stores


async def test_a_worker_whose_journal_is_away_still_takes_people_and_one_that_drains_does_not(parts: Services) -> None:
    await parts.start()
    parts.committer.down, parts.ticked_s = True, None
    assert (await AsyncClient().get("/openz")).status_code == 200
    parts.state, parts.reason = "draining", "a new release"
    answer = await AsyncClient().get("/openz")
    assert (answer.status_code, answer.json()) == (503, {"open": False, "state": "draining", "reason": "a new release"})


def test_haproxy_asks_whether_a_worker_takes_people() -> None:
    assert "option httpchk GET /openz" in (settings.BASE_DIR / "deploy/haproxy.cfg").read_text(encoding="utf-8")
