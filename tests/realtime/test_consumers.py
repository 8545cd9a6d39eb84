"""One connection from the handshake to the end, over Channels' own test communicator."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import RedisError

from realtime.access import Ticket, issue_ticket, origin_allowed, read_ticket, spend
from realtime.adapters.registry import MemoryRegistry
from realtime.clock import SystemClock
from realtime.committer import RETRY_S, Committer
from realtime.config import RealtimeConfig
from realtime.connection import USUAL, Connection
from realtime.consumers import position
from realtime.errors import BadCredentials
from realtime.hub import Hub
from realtime.inbox import FAULTS_MAX
from realtime.journal import Journal
from realtime.messages import Sender
from realtime.policy.limits import STRIKES_MAX
from realtime.policy.resending import IN_FLIGHT_MAX
from realtime.routing import router
from realtime.services import STEP_S, Services
from tests.fakes import ManualClock, MemoryJournal, MemoryMailbox, Network, at_once
from tests.realtime.test_connection import FakeWire

ROOM = "rose-garden"
PLANNER = Sender("m1", "planner", "Sam")
GUEST = Sender("m2", "guest", "Maya")
VENDOR = Sender("m3", "vendor", "Ivy")


class NobodyDomain:
    """A domain that knows no sessions."""

    gone: set[str] = set()

    def member(self, room: str, user: Any, session: Any) -> None:
        return None

    def link(self, room: str, user: Any, session: Any) -> str:
        return ""

    def revoked(self) -> set[str]:
        return self.gone


class Site:
    def __init__(self, **settings: Any) -> None:
        config = RealtimeConfig(**{"control": ""} | settings)
        self.clock = ManualClock()
        self.journal = MemoryJournal(self.clock, ROOM)
        mailbox = MemoryMailbox(Network())
        hub = Hub(config, self.journal, mailbox, self.clock, at_once, "here.1.p1")
        told = {"committed": hub.committed, "provisional": hub.provisional, "forget": hub.forget}
        committer = Committer(config, self.journal, self.clock, at_once, **told)
        journal: Journal = self.journal  # type: ignore[assignment]
        self.services = Services(
            config, self.clock, NobodyDomain(), journal, mailbox, committer, hub, at_once, None, MemoryRegistry(self.clock)
        )  # type: ignore[arg-type]
        self.app = router(self.services)

    def ticket(self, member: Sender, **more: Any) -> str:
        return issue_ticket(ROOM, member, now=self.clock.now(), ttl_s=30, **more)

    def knock(self, ticket: str = "", query: str = "", **headers: str) -> WebsocketCommunicator:
        lines = [(b"host", b"wed.example")] + [(k.encode(), v.encode()) for k, v in headers.items()]
        if ticket:
            lines.append((b"authorization", b"Bearer " + ticket.encode()))
        return WebsocketCommunicator(self.app, f"/ws/weddings/{ROOM}/{query}", headers=lines)

    async def join(self, member: Sender, query: str = "") -> WebsocketCommunicator:
        socket = self.knock(self.ticket(member), query)
        assert (await socket.connect())[0]
        return socket


@pytest.fixture
async def site() -> Any:
    site = Site()
    yield site
    await site.services.stop()


async def until(socket: WebsocketCommunicator, kind: str) -> dict[str, Any]:
    """The next message of this type; others in between are passed over."""
    for _ in range(30):
        message = json.loads(await socket.receive_from())
        if message["t"] == kind and message.get("kind") != "presence":
            return dict(message)
    raise AssertionError(f"no {kind} came")


def say(text: str, id: str = "c1", kind: str = "chat.crew") -> str:
    return json.dumps({"t": "publish", "id": id, "kind": kind, "data": {"text": text}})


async def test_join_publish_acknowledge_and_resume(site: Site) -> None:
    planner, guest = await site.join(PLANNER), await site.join(GUEST)
    welcome = await until(planner, "welcome")
    assert welcome["recovered"] is False and (await until(planner, "live"))["up_to"] == 0
    await planner.send_to(say("crew only"))
    assert (await until(planner, "ok")) == {"t": "ok", "ref": "c1", "offset": 1}
    await planner.send_to(say("for all", "c2", "chat.guests"))
    assert (await until(guest, "pub"))["data"] == {"text": "for all"}
    await guest.disconnect()
    back = await site.join(PLANNER, f"?epoch={welcome['epoch']}&since=1")
    assert (await until(back, "welcome"))["recovered"] is True
    missed = await until(back, "pub")
    assert (missed["offset"], missed["prev"]) == (2, 1)
    assert (await until(back, "live"))["up_to"] == 2
    await planner.disconnect()
    await back.disconnect()


async def refused(socket: WebsocketCommunicator) -> bool:
    accepted, _ = await socket.connect()
    return not accepted


DOORS = [
    ("nothing", {}),
    ("a ticket that is none", {"ticket": "abc.def"}),
    ("a session from another site", {"origin": "https://evil.example"}),
    ("a session without an origin", {"cookie": "sessionid=x"}),
    ("a null origin", {"origin": "null"}),
]


@pytest.mark.parametrize("how", [door[1] for door in DOORS], ids=[door[0] for door in DOORS])
async def test_refused_before_the_upgrade(site: Site, how: dict[str, str]) -> None:
    assert await refused(site.knock(**how))


async def test_a_ticket_of_another_wedding_or_from_a_foreign_page_is_refused(site: Site) -> None:
    other = issue_ticket("harbour-loft", PLANNER, now=site.clock.now(), ttl_s=30)
    assert await refused(site.knock(other))
    assert await refused(site.knock(site.ticket(PLANNER), origin="https://evil.example"))


async def test_a_ticket_works_once_unless_reusable(site: Site) -> None:
    once, often = site.ticket(PLANNER), site.ticket(PLANNER, reusable=True)
    results = [await refused(site.knock(ticket)) for ticket in (once, once, often, often)]
    assert results == [False, True, False, False]


async def test_a_ticket_works_once_however_many_come_after_it(site: Site) -> None:
    def read(text: str) -> Ticket:
        return read_ticket(text, ROOM, site.clock.now(), RealtimeConfig())

    first = read(site.ticket(GUEST))
    await spend(first, site.clock.now(), 300)
    for _ in range(2_000):
        await spend(read(site.ticket(PLANNER)), site.clock.now(), 300)
    with pytest.raises(BadCredentials):
        await spend(first, site.clock.now(), 300)


async def test_a_ticket_works_once_here_also_while_redis_is_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> bool:
        raise RedisError

    monkeypatch.setattr("realtime.access.cache.aadd", away)
    ticket = site.ticket(PLANNER)
    assert [await refused(site.knock(text)) for text in (ticket, ticket)] == [False, True]


async def test_a_ticket_runs_out_and_the_load_role_needs_load_testing(site: Site) -> None:
    ticket = site.ticket(PLANNER)
    load = issue_ticket(ROOM, Sender("t1", "load"), now=site.clock.now(), ttl_s=300)
    config = RealtimeConfig(load_testing=True)
    assert read_ticket(load, ROOM, site.clock.now(), config).member.role == "load"
    with pytest.raises(BadCredentials):
        read_ticket(load, ROOM, site.clock.now(), RealtimeConfig())
    site.clock.advance(31)
    assert read_ticket(ticket, ROOM, site.clock.now(), config), "the clock of this machine may be ahead"
    with pytest.raises(BadCredentials):
        read_ticket(ticket, ROOM, site.clock.now(), RealtimeConfig(clock_leeway_s=0))
    site.clock.advance(config.clock_leeway_s)
    with pytest.raises(BadCredentials):
        read_ticket(ticket, ROOM, site.clock.now(), config)


@given(st.text(max_size=60))
def test_no_text_is_a_ticket(text: str) -> None:
    with pytest.raises(BadCredentials):
        read_ticket(text, ROOM, SystemClock().now(), RealtimeConfig())


BAD = [
    ("not json", "{", "malformed", ""),
    ("unknown message", '{"t":"dance"}', "malformed", "t"),
    ("unknown field", '{"t":"ping","x":1}', "malformed", "x"),
    ("no moment", say("x")[:-1] + ',"expires_at":"tomorrow"}', "malformed", "expires_at"),
    ("no id", say("x")[:-1] + ',"replaces":"a b"}', "malformed", "replaces"),
    ("a field too many", say("x")[:-1] + ',"colour":"red"}', "malformed", "colour"),
    ("half a pair", say("x").replace('"x"', r'"\ud83d"'), "malformed", ""),
    ("half a pair beside it", say("x").replace('"x"', r'"\ud83d"')[:-1] + ',"colour":"red"}', "malformed", ""),
    ("unknown kind", say("x", kind="chat.secret"), "unknown_kind", "kind"),
    ("not allowed", '{"t":"publish","id":"a","kind":"timeline.items","data":{"items":[]}}', "forbidden", "kind"),
    ("wrong type", say("x").replace('"x"', "5"), "invalid", "data.text"),
    ("unknown data field", '{"t":"publish","id":"a","kind":"chat.crew","data":{"text":"x","y":1}}', "invalid", "data"),
    ("deep", '{"t":"publish","id":"a","kind":"chat.crew","data":' + "[" * 5000 + "]" * 5000 + "}", "malformed", ""),
    ("nobody's moment", say("x")[:-1] + ',"expires_at":"9999-12-31T23:59:59-14:00"}', "invalid", "expires_at"),
    ("before time", say("x")[:-1] + ',"expires_at":"0001-01-01T00:00:00+14:00"}', "invalid", "expires_at"),
    ("no zone", say("x")[:-1] + ',"expires_at":"2027-06-12T12:00:00"}', "invalid", "expires_at"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "field"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
async def test_bad_input_is_named_and_changes_nothing(site: Site, text: str, code: str, field: str) -> None:
    planner = await site.join(PLANNER)
    await until(planner, "live")
    await planner.send_to(text)
    error = await until(planner, "error")
    assert (error["code"], error.get("field", "")) == (code, field)
    spoken = re.search(r'"id": ?"(\w+)"', text)
    deep = "[" * 1_000 in text  # that no decoder reads
    assert error.get("ref", "") == ("" if spoken is None or deep else spoken[1]), "who waits for the answer gets it"
    assert site.journal.entries[ROOM] == []
    await planner.disconnect()


async def test_a_guest_beyond_the_rate_is_told_when_to_try_again(site: Site) -> None:
    guest = await site.join(GUEST)
    await until(guest, "live")
    for n in range(11):
        await guest.send_to(say("hello", f"g{n}", "chat.guests"))
    error = await until(guest, "error")
    assert error["code"] == "rate_limited" and error["ref"] == "g10" and 0 < error["retry_after_ms"] <= 1_001
    assert len(site.journal.entries[ROOM]) == 10
    await guest.disconnect()


def status(id: str, status: str) -> str:
    data = {"vendor": "DJ", "status": status}
    return json.dumps({"t": "publish", "id": id, "kind": "vendor.status", "data": data})


async def answers(socket: WebsocketCommunicator, site: Site, *texts: str) -> list[str]:
    """What is said to each of them in the end: "ok", or the code of the refusal."""
    found: dict[str, str] = {}
    for text in texts:
        await socket.send_to(text)
    for _ in texts:
        answer = {"t": ""}
        while answer["t"] not in ("ok", "error") or "provisional" in answer:
            if site.services.committer.down:
                site.clock.advance(RETRY_S)
            answer = json.loads(await socket.receive_from())
        found[answer["ref"]] = answer.get("code", "ok")
    return [found[json.loads(text)["id"]] for text in texts]


async def test_a_newer_status_is_not_stored_before_an_older_one_that_was_refused_for_now(site: Site) -> None:
    vendor = await site.join(Sender("m5", "vendor", "DJ"))
    await until(vendor, "live")
    site.journal.up = False
    assert await answers(vendor, site, status("1", "en_route")) == ["journal_unavailable"]
    site.journal.up = True
    assert await answers(vendor, site, status("2", "on_site")) == ["journal_unavailable"]
    alert = '{"t":"publish","id":"3","kind":"emergency.alert","data":{"alert":"a","category":"fire","text":"out"}}'
    assert await answers(vendor, site, alert) == ["ok"], "an emergency waits for nothing"
    assert await answers(vendor, site, status("1", "en_route"), status("2", "on_site")) == ["ok", "ok"]
    assert [entry.id for entry in site.journal.entries[ROOM]] == ["3", "1", "2"]
    await vendor.disconnect()


async def test_what_a_guest_says_within_the_rate_waits_for_what_was_beyond_it(site: Site) -> None:
    guest = await site.join(GUEST)
    await until(guest, "live")
    said = [say("hello", f"g{n}", "chat.guests") for n in range(12)]
    assert await answers(guest, site, *said[:11]) == ["ok"] * 10 + ["rate_limited"]
    site.clock.advance(1.1)
    assert await answers(guest, site, said[11]) == ["rate_limited"]
    assert await answers(guest, site, said[10]) == ["ok"]
    site.clock.advance(1.0)
    assert await answers(guest, site, said[11]) == ["ok"]
    await guest.disconnect()


async def test_a_flood_is_shown_the_door_and_who_drops_what_was_refused_is_not(site: Site) -> None:
    guest = await site.join(GUEST)
    await until(guest, "live")
    for n in range(10 + IN_FLIGHT_MAX):
        await guest.send_to(say("hello", f"a{n}", "chat.guests"))
    for _ in range(IN_FLIGHT_MAX):
        assert (await until(guest, "error"))["code"] == "rate_limited"
    site.clock.advance(1.1)
    await guest.send_to(say("hello", "later", "chat.guests"))
    while (await until(guest, "ok"))["ref"] != "later":
        pass
    answers = []
    while not answers or answers[-1]["t"] == "error":
        await guest.send_to(say("hello", f"b{len(answers)}", "chat.guests"))
        answers.append(json.loads(await guest.receive_from()))
    assert answers[-1]["code"] == 4408 and len(answers) <= IN_FLIGHT_MAX * STRIKES_MAX + 2


def cry(category: str, id: str) -> str:
    data = {"alert": "a", "category": category, "text": "!"}
    return json.dumps({"t": "publish", "id": id, "kind": "emergency.alert", "data": data})


async def test_whoever_comes_back_has_no_more_to_say_than_before(site: Site) -> None:
    for n in range(3):
        guest = await site.join(GUEST)
        await until(guest, "live")
        for m in range(5):
            await guest.send_to(say("hello", f"g{n}{m}", "chat.guests"))
        answer = await until(guest, "ok" if n < 2 else "error")
        assert n < 2 or answer["code"] == "rate_limited"
        await guest.disconnect()
    assert len(site.journal.entries[ROOM]) == 10


async def test_an_all_clear_is_no_emergency_and_gives_nobody_more_of_them(site: Site) -> None:
    vendor, planner = await site.join(VENDOR), await site.join(PLANNER)
    for socket in (vendor, planner):
        await until(socket, "live")

    async def said(socket: WebsocketCommunicator, id: str, alert: str, state: str) -> str:
        data = {"alert": alert, "category": "fire", "text": "!", "state": state}
        await socket.send_to(json.dumps({"t": "publish", "id": id, "kind": "emergency.alert", "data": data}))
        while (answer := json.loads(await socket.receive_from())).get("ref") != id:
            pass
        return str(answer["t"])

    for n in range(3):
        assert await said(vendor, f"on{n}", f"a{n}", "active") == "ok"
        assert await said(vendor if n else planner, f"off{n}", f"a{n}", "all_clear") == "ok"
    assert await said(vendor, "off1", "a1", "all_clear") == "ok", "its answer was not heard"
    assert await said(vendor, "on3", "a3", "active") == "error"
    assert await said(vendor, "again", "a2", "all_clear") == "error", "it is over already"
    assert await said(vendor, "made-up", "a9", "all_clear") == "error"
    for n in range(3):
        assert await said(planner, f"planner{n}", f"p{n}", "active") == "ok", "ended one of somebody else for nothing"
    for socket in (vendor, planner):
        await socket.disconnect()


async def test_a_slip_and_what_is_said_again_take_no_emergency_away(site: Site) -> None:
    vendor = await site.join(VENDOR)
    await until(vendor, "live")
    for n in range(5):
        await vendor.send_to(cry("cardiac", f"x{n}"))
        assert (await until(vendor, "error"))["code"] == "invalid"
    await vendor.send_to(cry("medical", "e0"))
    assert "duplicate" not in await until(vendor, "ok")
    await vendor.disconnect()
    vendor = await site.join(VENDOR)
    await until(vendor, "live")
    for _ in range(4):
        await vendor.send_to(cry("medical", "e0"))
        assert (await until(vendor, "ok"))["duplicate"]
    for id in ("e1", "e2", "e3"):
        await vendor.send_to(cry("medical", id))
    assert (await until(vendor, "error"))["ref"] == "e3"
    for n in range(11):
        await vendor.send_to(cry("cardiac", f"y{n}"))
    codes = [(await until(vendor, "error"))["code"] for _ in range(11)]
    assert codes == ["invalid"] * 11, "nine before"
    await vendor.send_to(cry("cardiac", "z"))
    assert (await until(vendor, "error"))["code"] == "rate_limited", "nonsense is limited too"
    await vendor.disconnect()


@pytest.mark.parametrize(("told", "counted"), [([0, 1, 0, 2], 3), ([1_000_000], FAULTS_MAX), ([7, 7, 7], FAULTS_MAX)])
async def test_gaps_that_a_client_tells_of_count_up_to_a_few(site: Site, told: list[int], counted: int) -> None:
    guest = await site.join(GUEST)
    await until(guest, "live")
    for gaps in told:
        await guest.send_to(json.dumps({"t": "hint", "gaps": gaps}))
    await guest.send_to('{"t":"ping","ref":1}')
    await until(guest, "pong")
    assert site.services.hub.measures.gaps_total == counted
    assert site.services.hub.rooms[ROOM].measures.report().faults_total == counted
    await guest.disconnect()


async def closed_with(socket: WebsocketCommunicator) -> tuple[int, int]:
    """(code of the goodbye, code of the close)."""
    goodbye = await until(socket, "goodbye")
    return goodbye["code"], (await socket.receive_output())["code"]


async def test_one_that_keeps_sending_nonsense_is_shown_the_door(site: Site) -> None:
    guest = await site.join(GUEST)
    for _ in range(STRIKES_MAX + 1):
        await guest.send_to("{")
    for _ in range(STRIKES_MAX):
        await until(guest, "error")
    assert await closed_with(guest) == (4408, 4408)


async def test_too_large_binary_and_leave(site: Site) -> None:
    for text, raw, code in ((say("x" * 5_000), None, 4409), (None, b"\0", 4410), ('{"t":"leave"}', None, 1000)):
        guest = await site.join(GUEST)
        await until(guest, "live")
        await guest.send_to(text, raw)
        assert await closed_with(guest) == (code, code)


async def test_when_the_journal_is_down_a_newcomer_is_told_to_come_back(site: Site) -> None:
    site.journal.up = False
    planner = await site.join(PLANNER)
    assert await closed_with(planner) == (4013, 4013)


async def test_when_the_journal_is_replaced_members_start_anew(site: Site) -> None:
    planner = await site.join(PLANNER)
    await until(planner, "live")
    site.journal.epochs[ROOM] = "e2"
    site.clock.advance(1)
    assert await closed_with(planner) == (4020, 4020)
    assert site.services.hub.measures.connections == {"planner": 0}
    assert (await until(await site.join(PLANNER, "?epoch=e1&since=0"), "welcome"))["recovered"] is False


async def test_one_whose_access_was_withdrawn_goes_and_stays_away(site: Site) -> None:
    guest = await site.join(GUEST)
    resume = (await until(guest, "welcome"))["resume"]
    site.services.hub.expel({GUEST.member})
    assert await closed_with(guest) == (4401, 4401)
    assert await refused(site.knock(resume)) and await refused(site.knock(site.ticket(GUEST)))
    await site.join(PLANNER)


async def test_one_whose_role_was_changed_comes_in_as_what_it_is_now(site: Site) -> None:
    guest, planner = await site.join(GUEST), await site.join(PLANNER)
    resume = (await until(planner, "welcome"))["resume"]
    site.services.hub.expel({(PLANNER.member, "planner"), (GUEST.member, "planner")})
    assert await closed_with(planner) == (4401, 4401)
    assert await refused(site.knock(resume))
    await site.join(Sender(PLANNER.member, "guest", "Sam"))
    await until(guest, "live")


async def test_one_whose_access_was_withdrawn_on_the_way_in_goes_within_a_second() -> None:
    site, reading = Site(), asyncio.Event()
    read = site.services.hub.read

    async def slowly(function: Any, *args: object) -> Any:
        found = await read(function, *args)
        if function == site.journal.state:
            await reading.wait()
        return found

    site.services.hub.read = slowly  # type: ignore[method-assign]
    guest = await site.join(GUEST)
    site.services.hub.expel({GUEST.member})
    reading.set()
    await until(guest, "live")
    site.services.hub.expel({GUEST.member})
    assert await closed_with(guest) == (4401, 4401)
    assert site.services.hub.newcomers == set()
    await site.services.stop()


async def test_one_that_does_not_read_is_ended_and_its_memory_freed() -> None:
    connection = Connection(ROOM, GUEST)
    for _ in range(3):
        connection.send([b"x" * (USUAL.window_bytes // 2)])
    assert connection.closing == 4008
    assert [len(text) < 200 for text in await connection.texts()] == [True]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", ("", None)),
        (b"epoch=e&since=5", ("e", 5)),
        (b"since=-1", ("", None)),
        (b"since=99999999999999999999", ("", None)),
        (b"since=\xc2\xb2", ("", None)),
        (b"epoch=e&since=" + b"9" * 5_000, ("", None)),
        (b"epoch=e&since=9223372036854775807", ("e", 2**63 - 1)),
    ],
)
def test_position_of_a_query(query: bytes, expected: tuple[str, int | None]) -> None:
    assert position(query) == expected


ORIGINS = [
    ("https://wed.example", True),
    ("http://wed.example", True),
    ("https://wed.example:8443", False),
    ("https://wed.example.evil.com", False),
    ("https://app.example", True),
    ("https://wed.example/", False),
    ("null", False),
    (None, False),
]


@pytest.mark.parametrize(("origin", "allowed"), ORIGINS)
def test_origins_match_exactly(origin: str | None, allowed: bool) -> None:
    assert origin_allowed(origin, "wed.example", ("https://app.example",)) is allowed


async def test_a_ping_is_answered_with_the_time(site: Site) -> None:
    guest = await site.join(GUEST)
    await guest.send_to('{"t":"ping","ref":3}')
    assert await until(guest, "pong") == {"t": "pong", "ref": 3, "at": "2027-06-12T12:00:00Z"}
    await guest.disconnect()


async def test_who_stays_for_a_day_always_has_a_ticket_for_its_next_connection() -> None:
    site = Site(plan_every_s=0.05)
    guest = await site.join(GUEST)
    tickets = [(await until(guest, "welcome"))["resume"]]
    for _ in range(20):
        for _ in range(10):
            await asyncio.sleep(0)
        site.clock.advance(100.0)
        while not await guest.receive_nothing(timeout=0.001):
            message = json.loads(await guest.receive_from())
            tickets += [message["resume"]] if message["t"] == "pong" else []
        ticket = read_ticket(tickets[-1], ROOM, site.clock.now(), site.services.config)
        assert ticket.member == GUEST and ticket.reusable
    assert len(tickets) == 5, "one in ten minutes of this clock's steps, not one in each round"
    await guest.disconnect()
    await site.services.stop()


async def test_strangers_take_nobodys_place() -> None:
    site = Site(admission_per_s=4)
    withdrawn = site.ticket(Sender("m9", "guest"))
    site.services.domain.gone = site.services.hub.revoked = {"m9"}  # type: ignore[attr-defined]
    strangers: list[dict[str, str]] = [*(door[1] for door in DOORS), {"ticket": withdrawn}]
    strangers += [{"ticket": site.ticket(GUEST), "origin": "https://evil.example"}, {"origin": "https://wed.example"}]
    for how in strangers * 2:
        assert await refused(site.knock(**how)), how
    assert site.services.hub.measures.joins_refused_total == 0, "none was told to come back"
    guest = await site.join(GUEST)
    assert (await until(guest, "welcome"))["member"]["member"] == GUEST.member
    await guest.disconnect()
    await site.services.stop()


async def test_more_than_can_be_let_in_are_told_when_to_come_back_before_anything_is_asked() -> None:
    site = Site(admission_per_s=4)
    first = await site.join(GUEST)
    site.journal.up = False
    second = site.knock(site.ticket(GUEST))
    assert (await second.connect())[0]
    goodbye = json.loads(await second.receive_from())
    assert (goodbye["t"], goodbye["code"]) == ("goodbye", 4013)
    assert 0 < goodbye["retry_after_ms"] <= 1_000
    assert (await second.receive_output())["code"] == 4013
    site.journal.up = True
    planner = await site.join(PLANNER)
    assert site.services.hub.measures.joins_refused_total == 1
    for socket in (first, planner):
        await socket.disconnect()
    await site.services.stop()


async def test_an_emergency_that_is_over_is_told_to_no_newcomer_also_when_it_was_said_twice(site: Site) -> None:
    def alarm(id: str, state: str) -> str:
        data = {"alert": "fire", "category": "fire", "text": "out", "state": state}
        return json.dumps({"t": "publish", "id": id, "kind": "emergency.alert", "data": data})

    planner = await site.join(PLANNER)
    await planner.send_to(alarm("e1", "active"))
    assert (await until(planner, "ok"))["offset"] == 1
    site.journal.up = False
    await planner.send_to(alarm("e1", "active"))
    assert (await until(planner, "ok"))["provisional"]
    room = site.services.hub.rooms[ROOM]
    site.journal.up = True
    site.clock.advance(RETRY_S)
    assert (await until(planner, "ok"))["duplicate"] and not room.provisional
    await planner.send_to(alarm("e2", "all_clear"))
    await until(planner, "ok")
    guest = await site.join(GUEST)
    told = [json.loads(await guest.receive_from())["t"] for _ in range(3)]
    assert told == ["welcome", "snapshot", "live"]


class Asked(FakeWire):
    """Notes when it is to be asked again."""

    def __init__(self) -> None:
        super().__init__()
        self.again_s: list[float | None] = []

    def link(self, again_s: float | None = None) -> None:
        self.again_s.append(again_s)


async def test_each_is_measured_in_every_planning_round_and_told_when_the_next_one_comes(site: Site) -> None:
    parts, wires = site.services, [Asked() for _ in range(3)]
    for number, wire in enumerate(wires):
        await parts.hub.join(Connection(ROOM, Sender(f"m{number}", "guest"), wire), "", None, "")
    task = asyncio.create_task(parts._stepping())
    for _ in range(2 * round(parts.config.plan_every_s / STEP_S)):
        await asyncio.sleep(0)
        site.clock.advance(STEP_S)
        await asyncio.sleep(0)
    assert [wire.again_s for wire in wires] == [[parts.config.plan_every_s] * 2] * 3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
