"""The outbox: every page gets there, once, in order; who refuses is given up and that is seen."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import DatabaseError

from monitoring import alerting, delivery, paging
from monitoring.delivery import BATCH_MAX, REFUSALS_MAX, WAIT_MAX_S, Delivery, delivering, prune
from monitoring.models import Alert, Notice, Receiver
from monitoring.notifiers import Outcome, send, signature
from tests.fakes import ManualClock
from tests.monitoring.hooks import PostOffice, hook, post_office
from tests.processes import free_port

pytestmark = pytest.mark.django_db(databases=["default", "history"])


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def page(clock: ManualClock, name: str, *, over: bool = False, severity: str = "page") -> None:
    row = Alert(
        fingerprint=name,
        rule=name,
        severity=severity,
        state="firing",
        told="firing",
        reason="it is so",
        labels={"worker": "w1"},
    )
    row.raised_at = row.fired_at = clock.now()
    row.resolved_at = clock.now() if over else None
    alerting.notify([(alerting.content(row, None), clock.now())])


def told(body: bytes) -> list[str]:
    return [f"{alert['status']} {alert['labels']['alertname']}" for alert in json.loads(body)["alerts"]]


def test_a_webhook_that_is_down_for_ten_minutes_gets_every_page_once_and_in_order(clock: ManualClock) -> None:
    port = free_port()
    Receiver.objects.create(name="duty", kind="webhook", target=f"http://127.0.0.1:{port}/page")
    delivery, expected = Delivery(), []
    for minute in range(10):
        page(clock, f"a{minute}")
        page(clock, f"a{minute}", over=True)
        expected += [f"firing a{minute}", f"resolved a{minute}"]
        for _ in range(60):
            clock.advance(1)
            assert delivery.step(clock.now()) == 0
    tries = Notice.objects.order_by("pk")[0]
    assert 20 <= tries.tries <= 30 and "refused" in tries.result
    with hook(port) as server:
        for _ in range(40):
            clock.advance(1)
            delivery.step(clock.now())
        assert [word for _, _, body in server.got for word in told(body)] == expected
        assert len({headers["Idempotency-Key"] for _, headers, _ in server.got}) == len(expected)
    assert not Notice.objects.filter(sent_at=None).exists()
    assert alerting.waiting(clock.now()) == {(("receiver", "duty"),): 0.0}


def test_an_answer_that_is_lost_repeats_the_same_key_and_body(clock: ManualClock) -> None:
    with hook() as server:
        Receiver.objects.create(name="duty", kind="webhook", target=server.url)
        page(clock, "a")
        server.lose = True
        assert Delivery().step(clock.now()) == 0
        server.lose = False
        clock.advance(1)
        assert Delivery().step(clock.now()) == 1
        (_, first, one), (_, second, other) = server.got
        assert first["Idempotency-Key"] == second["Idempotency-Key"] and one == other


def test_a_receiver_can_tell_that_it_is_us(clock: ManualClock) -> None:
    with hook() as server:
        receiver = Receiver.objects.create(name="duty", kind="webhook", target=server.url)
        page(clock, "a")
        Delivery().step(clock.now())
        _, headers, body = server.got[0]
    at_s = int(clock.now().timestamp())
    mac = hmac.new(receiver.secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["X-Wedsync-Signature"] == f"t={at_s},v1={mac}"
    assert signature(receiver.secret, at_s, body + b" ") != headers["X-Wedsync-Signature"]


@pytest.mark.parametrize("status", [404, 401])
def test_who_refuses_is_given_up_and_the_next_page_has_its_turn(clock: ManualClock, status: int) -> None:
    with hook() as server:
        Receiver.objects.create(name="duty", kind="webhook", target=server.url)
        page(clock, "a")
        server.status = status
        delivery = Delivery()
        for _ in range(60):
            clock.advance(1)
            delivery.step(clock.now())
        assert len(server.got) == REFUSALS_MAX
        assert alerting.waiting(clock.now()) == {(("receiver", "duty"),): 3_600.0}  # which is an alert
        server.status = 200
        page(clock, "b")
        clock.advance(1)
        assert delivery.step(clock.now()) == 1
    assert Notice.objects.get(sent_at=None).result.startswith(str(status))


@pytest.mark.parametrize("status", [302, 429, 503])
def test_who_is_busy_is_asked_again_and_a_redirect_is_not_followed(clock: ManualClock, status: int) -> None:
    with hook() as server:
        Receiver.objects.create(name="duty", kind="webhook", target=server.url)
        page(clock, "a")
        server.status = status
        for _ in range(120):
            clock.advance(1)
            Delivery().step(clock.now())
        assert len(server.got) > REFUSALS_MAX
        server.status = 204
        clock.advance(30)
        assert Delivery().step(clock.now()) == 1


def test_one_dead_receiver_does_not_keep_the_others_waiting(clock: ManualClock) -> None:
    Receiver.objects.create(name="dead", kind="webhook", target="http://127.0.0.1:9/")
    Receiver.objects.create(name="mail", kind="email", target="ada@example.com, bob@example.com", last_ok_at=clock.now())
    page(clock, "a")
    asked: list[str] = []

    def remember(receiver: Receiver, notice: Notice, now: Any) -> Outcome:
        asked.append(receiver.name)
        return send(receiver, notice, now)

    assert Delivery(remember).step(clock.now()) == 1
    assert sorted(asked) == ["dead", "mail"]
    message, other = mail.outbox
    assert message.to == ["ada@example.com"] and message.subject.startswith("[PAGE] a (worker w1)")
    assert other.to == ["bob@example.com"]
    assert (
        "What to do:" in message.body and Notice.objects.get(receiver__name="mail").key in message.extra_headers["Message-ID"]
    )


def test_one_that_does_not_answer_keeps_nobody_waiting_and_is_sent_nothing_twice(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TURN_S", 0.5)
    Receiver.objects.create(name="slow", kind="webhook", target="http://127.0.0.1:9/", last_ok_at=clock.now())
    Receiver.objects.create(name="duty", kind="webhook", target="http://127.0.0.1:9/")
    asked, let_go = list[str](), threading.Event()

    def ask(receiver: Receiver, notice: Notice, now: Any) -> Outcome:
        asked.append(f"{receiver.name} {notice.content[0]['labels']['alertname']}")
        return Outcome(receiver.name == "duty" or let_go.wait(60), "taken")

    outbox = Delivery(ask)
    page(clock, "a")
    assert outbox.step(clock.now()) == 1 and sorted(asked) == ["duty a", "slow a"]
    page(clock, "b")
    clock.advance(1)
    assert outbox.step(clock.now()) == 1 and asked[2:] == ["duty b"]
    (under_way,) = outbox.under_way.values()
    let_go.set()
    under_way.answer.result(60)
    clock.advance(1)
    assert outbox.step(clock.now()) == 2 and asked[3:] == ["slow b"]
    assert not Notice.objects.filter(sent_at=None).exists() and not outbox.under_way


@pytest.mark.parametrize("path", ["/half", "/müller"])
def test_one_that_answers_by_halves_or_cannot_be_asked_does_not_keep_the_others_waiting(clock: ManualClock, path: str) -> None:
    with hook() as server:
        server.status, server.cut = 502, True
        target = f"{server.url}{path}"
        Receiver.objects.create(name="half", kind="webhook", target=target, last_ok_at=clock.now())
        Receiver.objects.create(name="mail", kind="email", target="a@example.com")
        page(clock, "a")
        assert Delivery().step(clock.now()) == 1
    assert len(mail.outbox) == 1
    half = Notice.objects.get(receiver__name="half")
    assert half.tries == 1 and half.next_try_at > clock.now() and half.result


@pytest.fixture
def office(settings: Any) -> Iterator[PostOffice]:
    with post_office() as server:
        settings.EMAIL_BACKEND = "monitoring.mail.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address[:2]
        yield server


@pytest.mark.parametrize(
    ("said", "tries"),
    [("550 no such user", REFUSALS_MAX), ("450 come again", 8), ("421 too many mistakes", 8)],
    ids=["for good", "for now", "and hung up"],
)
def test_an_address_that_is_refused_is_named_and_the_others_have_it_once(
    clock: ManualClock, office: PostOffice, said: str, tries: int
) -> None:
    Receiver.objects.create(name="mail", kind="email", target="ada@example.com, typo@example.com, bob@example.com")
    office.refused["typo@example.com"] = said
    paging.start("ada", clock.now())
    for _ in range(100):
        clock.advance(1)
        assert Delivery().step(clock.now()) == 0
    assert office.taken == ["ada@example.com", "bob@example.com"]
    notice, test = Notice.objects.get(), paging.last()
    assert f"typo@example.com: {said}" in notice.result and notice.tries == tries
    assert (notice.given_up_at is not None) == said.startswith("5")
    assert test is not None and test.missed == ("mail",)


def test_an_address_that_is_taken_at_last_makes_the_receiver_reached(clock: ManualClock, office: PostOffice) -> None:
    Receiver.objects.create(name="mail", kind="email", target="ada@example.com, bob@example.com")
    office.refused["ada@example.com"] = "450 come again"
    page(clock, "a")
    assert Delivery().step(clock.now()) == 0
    office.refused.clear()
    clock.advance(1)
    assert Delivery().step(clock.now()) == 1 and office.taken == ["bob@example.com", "ada@example.com"]


@pytest.mark.parametrize("said", ["452 mailbox full", "550 no such user", "421 too many mistakes"])
def test_an_address_waits_for_its_own_earlier_pages_only(clock: ManualClock, office: PostOffice, said: str) -> None:
    Receiver.objects.create(name="mail", kind="email", target="ada@example.com, bob@example.com")
    office.refused["bob@example.com"] = said
    outbox, count = Delivery(), BATCH_MAX + 2
    for name in range(count):
        page(clock, f"p{name}")
    for _ in range(2):
        clock.advance(1)
        assert outbox.step(clock.now()) == 0
    assert office.taken == ["ada@example.com"] * count
    assert "bob@example.com after what came before" in Notice.objects.latest("pk").result
    office.refused.clear()
    for _ in range(3):
        clock.advance(WAIT_MAX_S)
        outbox.step(clock.now())
    assert office.taken[count:] == ["bob@example.com"] * count
    sent = Notice.objects.order_by("sent_at", "pk").values_list("pk", flat=True)
    assert not Notice.objects.filter(sent_at=None).exists() and list(sent) == sorted(sent)


def test_receivers_are_sent_to_at_the_same_time_and_waited_for_together(clock: ManualClock) -> None:
    for name in ("a", "b", "c"):
        Receiver.objects.create(name=name, kind="webhook", target="http://127.0.0.1:9/")
    page(clock, "a")
    all_asked = threading.Barrier(3)

    def ask(receiver: Receiver, notice: Notice, now: Any) -> Outcome:
        all_asked.wait(60)
        return Outcome(True, "taken")

    assert Delivery(ask).step(clock.now()) == 3


def test_tickets_go_only_to_those_who_want_them(clock: ManualClock) -> None:
    Receiver.objects.create(name="pages", kind="email", target="a@example.com")
    Receiver.objects.create(name="tickets", kind="email", target="b@example.com", at_least="ticket")
    Receiver.objects.create(name="off", kind="email", target="c@example.com", at_least="info", enabled=False)
    page(clock, "a", severity="ticket")
    assert [notice.receiver.name for notice in Notice.objects.all()] == ["tickets"]


def test_alertmanager_hears_of_what_fires_again_and_again_and_of_the_end_for_five_minutes(clock: ManualClock) -> None:
    with hook() as server:
        Receiver.objects.create(name="am", kind="alertmanager", target=f"{server.url}/prefix/")
        row = Alert.objects.create(
            fingerprint="f", rule="worker-missing", severity="page", state="firing", told="firing", reason="r",
            labels={"worker": "w1"}, raised_at=clock.now(), fired_at=clock.now(),
        )  # fmt: skip
        delivery = Delivery()
        for _ in range(60):
            clock.advance(1)
            delivery.step(clock.now())
        assert len(server.got) == 4 and {path for path, _, _ in server.got} == {"/prefix/api/v2/alerts"}
        (alert,) = json.loads(server.got[-1][2])
        assert alert["endsAt"] > (clock.now() + timedelta(seconds=40)).isoformat()
        row.resolved_at = clock.now()
        row.save()
        for _ in range(600):
            clock.advance(1)
            delivery.step(clock.now())
        assert 20 <= len(server.got) - 4 <= 21
        assert json.loads(server.got[-1][2])[0]["endsAt"] == row.resolved_at.isoformat()


def test_what_waits_for_another_try_does_not_wait_for_a_clock_that_was_set_back(clock: ManualClock) -> None:
    answer, sent = Outcome(False, "503"), 0

    def how(receiver: Receiver, notice: Notice, now: datetime) -> Outcome:
        nonlocal sent
        sent += 1
        return answer

    Receiver.objects.create(name="duty", kind="webhook", target="http://127.0.0.1:9/")
    page(clock, "a")
    delivery = Delivery(how)
    delivery.step(clock.now())
    clock.set_s, answer = -3_600.0, Outcome(True, "taken")
    page(clock, "b")
    clock.advance(1)
    delivery.step(clock.now())
    assert sent == 3 and not Notice.objects.filter(sent_at=None).exists()


def test_alertmanager_hears_of_what_fires_also_after_the_clock_was_set_back(clock: ManualClock) -> None:
    with hook() as server:
        Receiver.objects.create(name="am", kind="alertmanager", target=server.url)
        Alert.objects.create(
            fingerprint="f", rule="worker-missing", severity="page", state="firing", told="firing", reason="r",
            labels={"worker": "w1"}, raised_at=clock.now(), fired_at=clock.now(),
        )  # fmt: skip
        delivery = Delivery()
        delivery.step(clock.now())
        clock.set_s = -3_600.0
        for _ in range(60):
            clock.advance(1)
            delivery.step(clock.now())
        assert len(server.got) == 5


async def test_the_task_survives_whatever_goes_wrong_and_goes_on(clock: ManualClock) -> None:
    rounds = 0

    async def in_thread(function: object, *args: object) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise DatabaseError("gone")
        if rounds == 2:
            raise ValueError("a defect")

    task = asyncio.create_task(delivering(clock, in_thread))
    for _ in range(3):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.advance(1)
    await asyncio.sleep(0)
    assert rounds >= 3 and not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_old_notices_are_forgotten_when_they_are_done(clock: ManualClock) -> None:
    Receiver.objects.create(name="mail", kind="email", target="ada@example.com")
    page(clock, "a")
    Delivery().step(clock.now())
    clock.advance(31 * 86_400)
    page(clock, "b")
    assert prune(clock.now()) == 1 and Notice.objects.get().sent_at is None
