"""The client: its protocol without sockets, then over real ones against a small server."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from realtime.client import Client, Fleet, Refused
from realtime.client_events import (
    CaughtUp,
    Closed,
    Confirmed,
    Connected,
    Event,
    Gap,
    Moved,
    Received,
    SentAway,
    Settled,
    SnapshotTaken,
    Via,
)
from realtime.client_fleet import Door, rank
from realtime.clock import SystemClock
from realtime.errors import BadCredentials, Invalid, RealtimeError
from realtime.messages import (
    Ack,
    Error,
    Goodbye,
    Leave,
    Live,
    Move,
    Ok,
    Ping,
    Pong,
    Pub,
    Publish,
    Sender,
    Snapshot,
    ToClient,
    ToServer,
    Welcome,
    decode_to_server,
    encode,
)
from realtime.policy.resending import IN_FLIGHT_MAX, Outbox, OutboxFull
from realtime.saying import ConnectionLost
from realtime.session import ACK_EVERY, ClientSession, Phase
from tests.fakes import START, ManualClock

ME = Sender("me", "planner")
CHAT = Raw(b'{"text":"hi"}')
ALERT = Raw(b'{"alert":"a","category":"fire","text":"out"}')


def pub(offset: int, prev: int = -1, id: str = "", kind: str = "chat.guests", data: Raw = CHAT, **more: Any) -> Pub:
    prev = offset - 1 if prev < 0 else prev
    return Pub(
        kind=kind, id=id or f"p{offset}", sender=Sender("you", "couple"), at=START, data=data, offset=offset, prev=prev, **more
    )


def welcome(*, recovered: bool = False, heartbeat_s: float = 20, resume: str = "resume") -> Welcome:
    return Welcome("rose", ME, "e1", recovered, resume, heartbeat_s, "p")


def tell(session: ClientSession, *messages: ToClient, now_s: float = 0.0) -> list[Event]:
    return [event for message in messages for event in session.receive(encode(message), now_s)]


def sent(session: ClientSession) -> list[ToServer]:
    texts, session.outgoing[:] = list(session.outgoing), []
    return [decode_to_server(text) for text in texts]


def live(position: int = 5, **options: Any) -> ClientSession:
    session = ClientSession("ticket", random.Random(1), **options)
    session.credentials()
    session.opened(0.0)
    tell(session, welcome(), Snapshot(position, [], [], []), Live(position))
    return session


def shown(events: list[Event]) -> list[str]:
    return [event.pub.id for event in events if isinstance(event, Received)]


# -- coming in and coming back ------------------------------------------------------------------------------------------


def test_first_connection_takes_the_snapshot_and_goes_live() -> None:
    session = ClientSession("ticket", random.Random(1))
    assert session.credentials() == ("ticket", "")
    session.opened(0.0)
    events = tell(session, welcome(), Snapshot(5, [], [], []), pub(6), Live(6), pub(7))
    assert [type(event) for event in events] == [Connected, SnapshotTaken, Received, CaughtUp, Received]
    assert [event.via for event in events if isinstance(event, Received)] == [Via.REPLAY, Via.LIVE]
    assert session.position == 7


def test_comes_back_with_resume_ticket_and_position() -> None:
    session = live(5)
    tell(session, pub(6))
    (closed,) = session.closed(1006, 10.0)
    assert isinstance(closed, Closed) and closed.retry_in_s is not None
    assert session.connect_at_s == 10.0 + closed.retry_in_s
    assert session.credentials() == ("resume", "epoch=e1&since=6")
    session.opened(11.0)
    assert shown(tell(session, welcome(recovered=True), pub(8, prev=6), Live(9), pub(10, prev=9))) == ["p8", "p10"]


@pytest.mark.parametrize(
    ("code", "comes_back"), [(1006, True), (1000, True), (1012, True), (4001, True), (4013, True), (4401, False), (4408, False)]
)
def test_the_close_code_says_whether_to_come_back(code: int, comes_back: bool) -> None:
    session = live()
    (closed,) = session.closed(code, 0.0)
    assert isinstance(closed, Closed) and (closed.retry_in_s is not None) == comes_back
    assert (session.phase is Phase.OVER) != comes_back


def test_goodbye_says_when_to_come_back() -> None:
    session = live()
    tell(session, Goodbye(4001, "deploy", 2_500))
    assert session.closed(1006, 100.0) == [Closed(4001, "deploy", 2.5)]


def test_state_lost_comes_back_for_a_snapshot() -> None:
    session = live()
    session.closed(4020, 0.0)
    assert session.credentials() == ("resume", "")


@pytest.mark.parametrize("news", [Pong(resume="fresh"), Move("deploy", 10_000, resume="fresh")])
def test_the_newest_ticket_is_taken(news: ToClient) -> None:
    session = live()
    tell(session, news, Pong(), Move("again", 10_000))
    session.closed(1006, 0.0)
    assert session.credentials()[0] == "fresh"


def test_refused_resume_ticket_tries_the_first_one_once() -> None:
    session = live()
    session.closed(1006, 0.0)
    session.credentials()
    assert session.refused(403, "", 1.0) == [Closed(403, "", 0.0)]
    assert session.credentials()[0] == "ticket"
    assert session.refused(403, "", 2.0)[0].retry_in_s is None
    assert session.phase is Phase.OVER


def test_a_server_that_is_away_is_asked_less_and_less_often() -> None:
    session, waits = ClientSession("ticket", random.Random(2)), []
    for _ in range(200):
        (closed,) = session.refused(None, "refused", 0.0)
        waits.append(closed.retry_in_s)
    assert max(waits[:1]) <= 0.5 and 15 < max(waits[10:]) <= 20


# -- the stream ---------------------------------------------------------------------------------------------------------


def test_what_was_had_already_is_not_shown_again() -> None:
    session = live(5)
    assert shown(tell(session, pub(6), pub(6), pub(5), pub(7))) == ["p6", "p7"]
    assert session.repeats == 2


def test_a_gap_hangs_up_and_asks_for_what_is_missing() -> None:
    session = live(5)
    assert tell(session, pub(7, prev=6), pub(8)) == [Gap(5, 6, 7)]
    assert session.hang_up and session.gaps == 1
    session.closed(1006, 0.0)
    assert session.credentials()[1] == "epoch=e1&since=5"


def test_a_gap_in_the_replay_itself_asks_for_a_snapshot() -> None:
    session = live(5)
    session.closed(1006, 0.0)
    session.credentials()
    session.opened(1.0)
    tell(session, welcome(recovered=True), pub(9, prev=8))
    session.closed(1006, 1.0)
    assert session.credentials()[1] == ""


@given(st.lists(st.integers(1, 12), max_size=40), st.integers(0, 5))
def test_whatever_arrives_offsets_are_shown_once_and_in_order(offsets: list[int], start: int) -> None:
    session, seen = live(start), []
    for offset in offsets:
        seen += [e.pub.offset for e in tell(session, pub(offset)) if isinstance(e, Received)]
        if session.hang_up:
            session.closed(1006, 0.0)
            session.credentials()
            session.opened(0.0)
            missed = [pub(n) for n in range(session.position + 1, offset + 1)]
            events = tell(session, welcome(recovered=True), *missed, Live(max(offset, session.position)))
            seen += [e.pub.offset for e in events if isinstance(e, Received)]
    assert seen == list(range(start + 1, max([start, *offsets]) + 1))


def test_ephemeral_publications_do_not_move_the_position() -> None:
    session = live(5)
    assert shown(tell(session, pub(0, 0, "a", "reaction"), pub(6))) == ["a", "p6"]


def test_an_emergency_that_went_ahead_is_shown_once_and_counts() -> None:
    session = live(5)
    ahead, stored = pub(0, 0, "x", "emergency.alert", ALERT, provisional=True), pub(6, 5, "x", "emergency.alert", ALERT)
    assert shown(tell(session, ahead, ahead)) == ["x"]
    assert tell(session, stored) == [Confirmed(stored)]
    assert shown(tell(session, ahead, pub(7))) == ["p7"]


def test_a_trusting_client_shows_what_the_server_really_sent() -> None:
    session = live(5, trusting=True)
    assert shown(tell(session, pub(7), pub(6), pub(6), pub(9))) == ["p7", "p6", "p6", "p9"]
    assert not session.hang_up


# -- the outbox ---------------------------------------------------------------------------------------------------------


def test_publications_survive_the_connection_and_keep_their_order() -> None:
    session = live()
    for id in ("a", "b", "c"):
        session.publish(id, "chat.crew", CHAT, 0.0)
    assert [p.id for p in sent(session)] == ["a", "b", "c"]
    assert tell(session, Ok("b", 7)) == [Settled("b", Ok("b", 7))]
    session.closed(1006, 0.0)
    session.publish("d", "chat.crew", CHAT, 0.0)
    session.credentials()
    session.opened(1.0)
    tell(session, welcome(recovered=True))
    assert sent(session) == []
    tell(session, Live(7))
    assert [p.id for p in sent(session) if isinstance(p, Publish)] == ["a", "c", "d"]


def test_a_provisional_answer_is_not_the_last() -> None:
    session = live()
    session.publish("a", "emergency.alert", ALERT, 0.0)
    assert tell(session, Ok("a", provisional=True)) == []
    assert "a" in session.outbox
    assert tell(session, Ok("a", 9)) == [Settled("a", Ok("a", 9))]
    assert "a" not in session.outbox


def test_journal_unavailable_keeps_it_and_tries_again_when_told() -> None:
    session = live()
    session.tick(2.0)
    session.publish("a", "chat.crew", CHAT, 0.0)
    assert [type(message) for message in sent(session)] == [Ack, Publish]
    assert tell(session, Error("journal_unavailable", "", "a", retry_after_ms=3_000)) == []
    session.publish("b", "chat.crew", CHAT, 0.5)
    session.tick(2.9)
    assert sent(session) == []
    assert session.due_s == 3.0
    session.tick(3.0)
    assert [p.id for p in sent(session) if isinstance(p, Publish)] == ["a"], "one at a time after a refusal"
    tell(session, Ok("a", 8), now_s=3.1)
    assert [p.id for p in sent(session)] == ["b"]


def test_other_refusals_are_final() -> None:
    session = live()
    session.publish("a", "chat.crew", CHAT, 0.0)
    error = Error("forbidden", "no", "a")
    assert tell(session, error) == [Settled("a", error)]
    assert len(session.outbox) == 0


def test_a_long_outbox_is_not_sent_at_once() -> None:
    outbox = Outbox()
    for n in range(100):
        outbox.add(f"{n}", b"%d" % n)
    order = []
    while texts := outbox.take(0.0):
        assert len(texts) <= IN_FLIGHT_MAX
        order += texts
        for text in texts:
            outbox.settle(text.decode())
    assert order == [b"%d" % n for n in range(100)]


def test_an_emergency_waits_for_nothing_that_was_refused_before_it() -> None:
    outbox = Outbox()
    for id in ("chat-1", "chat-2"):
        outbox.add(id, id.encode())
    assert outbox.take(0.0) == [b"chat-1", b"chat-2"]
    outbox.postpone("chat-1", 1.0)
    outbox.postpone("chat-2", 1.0)
    assert outbox.take(0.5) == [] and outbox.due_s == 1.0
    outbox.add("fire", b"fire", urgent=True)
    assert outbox.n_waiting == 3 and outbox.take(0.5) == [b"fire"]
    outbox.promised("fire")  # it left, and is stored when that can be
    assert outbox.take(1.0) == [b"chat-1"], "one at a time after a refusal"
    outbox.again()
    assert outbox.take(1.0)[0] == b"fire", "on a new connection it is said again, first"


def test_an_emergency_that_is_refused_comes_again_when_it_may_and_holds_nothing_up() -> None:
    outbox = Outbox()
    outbox.add("fire", b"fire", urgent=True)
    assert outbox.take(0.0) == [b"fire"]
    outbox.postpone("fire", 5.0)
    outbox.add("chat", b"chat")
    assert outbox.take(1.0) == [b"chat"] and outbox.due_s == 5.0
    assert outbox.take(4.9) == [] and outbox.take(5.0) == [b"fire"]
    outbox.settle("fire")
    outbox.add("ice", b"ice", urgent=True)
    outbox.settle("ice")
    assert outbox.take(9.0) == [] and outbox.due_s == math.inf and outbox.n_waiting == 0


def test_an_outbox_that_is_given_up_has_nothing_left_and_room_again() -> None:
    outbox = Outbox(max_bytes=10)
    outbox.add("a", b"1234")
    outbox.add("fire", b"5678", urgent=True)
    outbox.take(0.0)
    assert outbox.give_up() == ["a", "fire"]
    assert (len(outbox), outbox.n_in_flight, outbox.n_waiting, outbox.take(9.0), outbox.due_s) == (0, 0, 0, [], math.inf)
    outbox.add("b", b"1234567890")


def test_the_outbox_is_bounded() -> None:
    outbox = Outbox(max_bytes=10)
    outbox.add("a", b"12345678")
    outbox.add("a", b"12345678")
    with pytest.raises(OutboxFull):
        outbox.add("b", b"123")
    outbox.settle("a")
    outbox.add("b", b"123")
    assert len(outbox) == 1


def test_ephemeral_publications_are_not_sent_twice() -> None:
    session = live()
    session.publish("a", "reaction", Raw(b"{}"), 0.0)
    events = session.closed(1006, 0.0)
    assert isinstance(events[0], Settled) and events[0].reply.code == "connection_lost"
    with pytest.raises(ConnectionLost):
        session.publish("b", "reaction", Raw(b"{}"), 0.0)
    assert session.send("c", "reaction", Raw(b"{}")) is False


# -- time ---------------------------------------------------------------------------------------------------------------


def test_a_silent_network_is_noticed() -> None:
    session = live()  # heartbeat 20 s
    assert session.due_s == 2.0, "the snapshot is acknowledged"
    session.tick(2.0)
    assert sent(session) == [Ack(5)]
    assert session.due_s == 10.0
    session.tick(10.0)
    assert sent(session) == [Ping()]
    session.tick(19.9)
    assert not session.hang_up
    session.tick(20.0)
    assert "nothing arrived for 20 s" in session.hang_up


def test_an_answer_keeps_it_alive() -> None:
    session = live()
    session.tick(10.0)
    tell(session, Pong(), now_s=10.1)
    session.tick(20.0)
    assert not session.hang_up
    assert session.due_s > 20.0


def test_acknowledges_now_and_then() -> None:
    session = live(0)
    for n in range(1, ACK_EVERY):
        tell(session, pub(n))
    assert sent(session) == []
    tell(session, pub(ACK_EVERY))
    assert sent(session) == [Ack(ACK_EVERY)]


def test_whoever_serves_it_now_hears_how_far_it_is() -> None:
    returned, moved = live(), moving()
    returned.tick(2.0)
    returned.closed(1006, 3.0)
    returned.credentials()
    returned.opened(3.0)
    tell(returned, welcome(recovered=True), Live(5), now_s=3.0)
    moved.tick(2.0)
    assert Ack(5) in sent(moved)
    second(moved, welcome(recovered=True), Live(5), now_s=3.0)
    for session in (returned, moved):
        session.outgoing.clear()
        session.tick(5.0)
        assert sent(session) == [Ack(5)]


def test_leaving_is_said_and_ends_even_when_nobody_answers() -> None:
    session = live()
    session.leave(1.0)
    assert sent(session) == [Leave()]
    session.tick(3.0)
    assert session.hang_up
    assert session.closed(1006, 3.0) == [Closed(1006, "left", None)]


# -- over sockets -------------------------------------------------------------------------------------------------------


class FakeServer(WSListener):
    """Speaks just enough of the protocol; `script` says what it answers."""

    joined: list[str]

    def __init__(self, request: WSUpgradeRequest, answer: Callable[[FakeServer, ToServer], None]) -> None:
        self.path, self.answer = request.path.decode(), answer
        self.ticket = request.headers["Authorization"].removeprefix("Bearer ")

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        since = self.path.partition("since=")[2]
        self.tell(welcome(recovered=bool(since)))
        if not since:
            self.tell(Snapshot(3, [], [], []))
        self.tell(Live(int(since or 3)))

    def tell(self, message: ToClient) -> None:
        text = encode(message)
        half = len(text) // 2  # as fragments: clients have to put them together
        self.transport.send(WSMsgType.TEXT, text[:half], fin=False)
        self.transport.send(WSMsgType.CONTINUATION, text[half:])

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.answer(self, decode_to_server(frame.get_payload_as_bytes()))
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


@asynccontextmanager
async def serving(
    answer: Callable[[FakeServer, ToServer], None], status: int = 101
) -> AsyncIterator[tuple[str, list[FakeServer]]]:
    seen: list[FakeServer] = []

    def accept(request: WSUpgradeRequest) -> Any:
        if status != 101:
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(status), None)
        seen.append(FakeServer(request, answer))
        return seen[-1]

    server = await ws_create_server(accept, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws/weddings/rose/", seen
    finally:
        server.close()


def acknowledge(server: FakeServer, message: ToServer) -> None:
    match message:
        case Publish(id=id, kind="chat.crew"):
            server.tell(Ok(id, 4))
        case Publish(id=id):
            server.tell(Error("forbidden", "not you", id))
        case Leave():
            server.transport.send_close(WSCloseCode.OK)


async def test_connects_publishes_and_leaves() -> None:
    async with serving(acknowledge) as (url, seen), Fleet(SystemClock()) as fleet:
        client = Client(url, "ticket", fleet, source_address="127.0.0.2")
        await client.connect()
        assert seen[0].ticket == "ticket"
        assert (await client.publish("chat.crew", {"text": "x"})).offset == 4
        with pytest.raises(Refused, match="not you") as refused:
            await client.publish("chat.guests", {"text": "x"})
        assert refused.value.code == "forbidden"
        await client.leave()
        assert client.session.phase is Phase.OVER


@pytest.mark.parametrize("wrong", [{"id": "a b"}, {"replaces": "é"}, {"id": "x" * 65}])
async def test_an_id_that_can_be_none_is_refused_before_anybody_waits_for_an_answer(wrong: dict[str, str]) -> None:
    async with serving(acknowledge) as (url, _), Fleet(SystemClock()) as fleet, asyncio.timeout(5):
        client = Client(url, "ticket", fleet)
        with pytest.raises(Invalid) as refused:
            await client.publish("chat.crew", {"text": "x"}, **wrong)
        assert refused.value.field in wrong
        assert (await client.publish("chat.crew", {"text": "x"}, id="fine")).offset == 4
        await client.leave()


async def test_comes_back_after_the_network_dropped_it() -> None:
    async with serving(acknowledge) as (url, seen), Fleet(SystemClock()) as fleet:
        back = asyncio.Event()
        events: list[Event] = []

        def on_event(event: Event) -> None:
            events.append(event)
            if isinstance(event, CaughtUp) and event.recovered:
                back.set()

        client = Client(url, "ticket", fleet, on_event=on_event, rng=random.Random(3))
        await client.connect()
        client.drop()
        answer = asyncio.create_task(client.publish("chat.crew", {"text": "x"}))
        await back.wait()
        assert seen[1].path.endswith("?epoch=e1&since=3") and seen[1].ticket == "resume"
        assert (await answer).offset == 4
        await client.leave()
        assert [type(e) for e in events].count(Closed) == 2


async def test_refused_at_the_door_is_an_error_not_a_loop() -> None:
    async with serving(acknowledge, status=403) as (url, _), Fleet(SystemClock()) as fleet:
        with pytest.raises(BadCredentials):
            await Client(url, "ticket", fleet).connect()


async def test_publish_connects_by_itself_but_not_before_its_time() -> None:
    async with serving(acknowledge) as (url, seen), Fleet(SystemClock()) as fleet, asyncio.timeout(5):
        client = Client(url, "ticket", fleet)
        assert (await client.publish("chat.crew", {"text": "Doors in five"})).offset == 4
        client.drop()
        at_s = client.session.connect_at_s
        with pytest.raises(ConnectionLost):
            await client.publish("reaction", {"target": "a", "emoji": "x"})
        assert at_s is not None and client.session.connect_at_s == at_s and len(seen) == 1
        await client.leave()


async def test_refused_at_the_door_it_says_so_to_everyone_who_waits_or_asks_later() -> None:
    async with serving(acknowledge, status=403) as (url, _), Fleet(SystemClock()) as fleet, asyncio.timeout(5):
        client = Client(url, "ticket", fleet)
        waiting = [client.connect(), client.publish("chat.crew", {"text": "x"}), client.connect()]
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in told] == [BadCredentials] * 3
        for _ in range(2):
            for ask in (client.connect, lambda: client.publish("chat.crew", {"text": "x"})):
                with pytest.raises(BadCredentials):
                    await ask()
        await client.leave()


@pytest.mark.parametrize(
    ("code", "error"), [(4401, BadCredentials), (4403, BadCredentials), (4408, SentAway), (4409, SentAway)]
)
async def test_sent_away_for_good_what_waits_ends_with_the_reason(code: int, error: type[RealtimeError]) -> None:
    def send_away(server: FakeServer, message: ToServer) -> None:
        if isinstance(message, Publish):
            server.tell(Goodbye(code, "this is over"))
            server.transport.send_close(WSCloseCode(code))
            server.transport.disconnect()

    async with serving(send_away) as (url, _), Fleet(SystemClock()) as fleet, asyncio.timeout(5):
        client = Client(url, "ticket", fleet)
        with pytest.raises(error, match="this is over"):
            await client.publish("chat.crew", {"text": "x"})
        with pytest.raises(error, match="this is over") as told:
            await client.connect()
        if isinstance(told.value, SentAway):
            assert (told.value.close_code, told.value.reason) == (code, "this is over")


async def test_post_connects_by_itself_too() -> None:
    settled = asyncio.Event()
    events: list[Event] = []

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, Settled):
            settled.set()

    async with serving(acknowledge) as (url, _), Fleet(SystemClock()) as fleet, asyncio.timeout(5):
        client = Client(url, "ticket", fleet, on_event=on_event)
        ref = client.post("chat.crew", {"text": "Doors in five"})
        await settled.wait()
        assert Settled(ref, Ok(ref, 4)) in events
        await client.leave()


async def test_what_was_posted_and_waits_when_it_is_over_is_answered_and_nothing_more_is_taken() -> None:
    events: list[Event] = []
    async with serving(acknowledge, status=403) as (url, _), Fleet(SystemClock()) as fleet, asyncio.timeout(5):
        client = Client(url, "ticket", fleet, on_event=events.append)
        refs = [client.post("chat.crew", {"text": "x"}) for _ in range(2)]
        with pytest.raises(BadCredentials) as told:
            await client.connect()
        *settled, closed = events
        why = told.value.message
        assert settled == [Settled(ref, Error("connection_lost", why, ref)) for ref in refs]
        assert isinstance(closed, Closed) and len(client.session.outbox) == 0
        with pytest.raises(BadCredentials):
            client.post("chat.crew", {"text": "late"})
        assert len(client.session.outbox) == 0


async def test_who_leaves_hears_what_was_not_answered_and_who_abandons_nothing() -> None:
    def only_see_off(server: FakeServer, message: ToServer) -> None:
        if isinstance(message, Leave):
            acknowledge(server, message)

    async with serving(only_see_off) as (url, _), Fleet(SystemClock()) as fleet, asyncio.timeout(5):
        for end, codes in (("leave", ["connection_lost"]), ("abandon", [])):
            events: list[Event] = []
            client = Client(url, "ticket", fleet, on_event=events.append)
            await client.connect()
            client.post("chat.crew", {"text": "x"})
            await client.leave() if end == "leave" else client.abandon()
            assert [e.reply.code for e in events if isinstance(e, Settled) and isinstance(e.reply, Error)] == codes


async def test_after_leaving_nothing_waits() -> None:
    def only_see_off(server: FakeServer, message: ToServer) -> None:
        if isinstance(message, Leave):
            acknowledge(server, message)

    async with serving(only_see_off) as (url, _), Fleet(SystemClock()) as fleet, asyncio.timeout(5):
        client = Client(url, "ticket", fleet)
        await client.connect()
        unanswered = asyncio.create_task(client.publish("chat.crew", {"text": "x"}))
        impatient = asyncio.create_task(client.leave())
        await asyncio.sleep(0)  # noqa: TID251 - a turn of the loop, not a time
        impatient.cancel()
        await asyncio.gather(client.leave(), client.leave())
        for ask in (unanswered, client.publish("chat.crew", {"text": "late"}), client.connect()):
            with pytest.raises(ConnectionLost, match="left"):
                await ask
        await client.leave()


@pytest.mark.parametrize(
    "url",
    ["ws://127.0.0.1:abc/", "ws://127.0.0.1:70000/", "ws://a..b/", "http://a/", "ws:///ws/", "localhost:8000", "ws://[::1/"],
)
def test_an_address_that_leads_nowhere_is_an_error_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Client(url, "ticket", Fleet(ManualClock()))


async def test_the_fleet_wakes_clients_by_its_clock() -> None:
    clock = ManualClock()
    fleet = Fleet(clock)
    async with serving(acknowledge) as (url, seen):
        pinged = asyncio.Event()
        client = Client(url, "ticket", fleet)
        await client.connect()
        seen[0].answer = lambda server, message: pinged.set() if isinstance(message, Ping) else None
        clock.advance(9.9)
        fleet.tick()
        clock.advance(0.2)
        fleet.tick()
        await pinged.wait()
        assert not client.session.hang_up
        seen[0].answer = acknowledge
        await client.leave()


# -- moving -----------------------------------------------------------------------------------------------------------


def second(session: ClientSession, *messages: ToClient, now_s: float = 0.0) -> list[Event]:
    return [event for message in messages for event in session.receive_second(encode(message), now_s) or []]


def clap(id: str) -> Pub:
    return Pub(kind="reaction", id=id, sender=Sender("you", "couple"), at=START, data=Raw(b'{"emoji":"x"}'))


def moving(position: int = 5) -> ClientSession:
    """Asked to move, with the second connection opened."""
    session = live(position)
    tell(session, Move("deploy", 10_000))
    assert session.moving is not None
    assert session.moving.open_now(1.0)
    return session


def test_a_move_shows_everything_once_whichever_connection_brings_it() -> None:
    session = moving()
    seen = shown(tell(session, pub(6), clap("a")))
    seen += shown(second(session, welcome(recovered=True), pub(6), pub(7)))
    assert second(session, Live(7, [ME])) == [Moved(7, [ME])]
    seen += shown(session.receive(encode(pub(7)), 1.0, first=True) + session.receive(encode(clap("b")), 1.0, first=True))
    seen += shown(tell(session, clap("a"), clap("b"), clap("c"), pub(8)))
    assert seen == ["p6", "a", "p7", "b", "c", "p8"]
    assert (session.gaps, session.repeats, session.position) == (0, 0, 8)


def test_a_second_connection_that_is_behind_the_first_one_catches_up_without_a_gap() -> None:
    session = moving()
    tell(session, pub(6), pub(7))
    second(session, welcome(recovered=True), Live(5))
    assert shown(tell(session, pub(6), pub(7), pub(8))) == ["p8"]
    assert (session.gaps, session.hang_up) == (0, "")


def test_what_is_said_while_moving_waits_for_the_answers_on_the_first_connection() -> None:
    session = moving()
    session.publish("a", "chat.crew", CHAT, 0.0)
    assert [m.id for m in sent(session) if isinstance(m, Publish)] == ["a"]
    second(session, welcome(recovered=True), Live(5))
    session.publish("b", "chat.crew", CHAT, 0.0)
    assert sent(session) == []
    session.receive(encode(Ok("a", 6)), 0.1, first=True)
    assert [m.id for m in sent(session) if isinstance(m, Publish)] == ["b"]
    session.first_gone(1.0)
    assert sent(session) == []  # "b" is on its way on the connection that stays


def test_what_the_first_connection_did_not_answer_is_said_again() -> None:
    session = moving()
    session.publish("a", "chat.crew", CHAT, 0.0)
    sent(session)
    second(session, welcome(recovered=True), Live(5), now_s=1.0)
    assert session.moving is not None
    assert not session.moving.close_now(2.0)
    assert session.moving.close_now(3.1)
    session.first_gone(3.1)
    assert [m.id for m in sent(session) if isinstance(m, Publish)] == ["a"]


def test_an_emergency_that_is_promised_on_the_first_connection_is_said_again_on_the_second() -> None:
    session = moving()
    session.publish("fire", "emergency.alert", ALERT, 0.0)
    tell(session, Ok("fire", provisional=True))
    sent(session)
    second(session, welcome(recovered=True), Live(5), now_s=1.0)
    session.publish("b", "chat.crew", CHAT, 1.0)
    assert [m.id for m in sent(session) if isinstance(m, Publish)] == ["b"]  # a promise holds nothing up
    assert session.first_gone(2.0) == []
    assert [m.id for m in sent(session) if isinstance(m, Publish)] == ["fire"]
    assert [type(event) for event in tell(session, Ok("fire", 6), Ok("b", 7))] == [Settled, Settled]


def test_a_promise_that_was_kept_before_the_first_connection_closed_is_not_said_again() -> None:
    session = moving()
    session.publish("fire", "emergency.alert", ALERT, 0.0)
    tell(session, Ok("fire", provisional=True))
    second(session, welcome(recovered=True), Live(5), now_s=1.0)
    assert [type(event) for event in session.receive(encode(Ok("fire", 6)), 1.2, first=True)] == [Settled]
    sent(session)
    session.first_gone(2.0)
    assert sent(session) == []


def test_something_ephemeral_without_an_answer_on_the_first_connection_is_lost_with_it() -> None:
    session = moving()
    session.publish("a", "reaction", Raw(b'{"emoji":"x"}'), 0.0)
    second(session, welcome(recovered=True), Live(5), now_s=1.0)
    session.publish("b", "reaction", Raw(b'{"emoji":"x"}'), 1.0)
    (event,) = session.first_gone(2.0)
    assert isinstance(event, Settled) and isinstance(event.reply, Error)
    assert (event.ref, event.reply.code) == ("a", "connection_lost")
    assert [type(event) for event in tell(session, Ok("b"))] == [Settled]


def test_a_snapshot_is_no_move() -> None:
    assert moving().receive_second(encode(welcome()), 0.0) is None


def test_a_client_forgets_the_move_in_time_and_can_be_moved_again() -> None:
    session = moving()
    second(session, welcome(recovered=True), Live(5))
    session.first_gone(1.0)
    session.tick(3.1)
    assert session.moving is None
    tell(session, Move("again", 10_000), now_s=4.0)
    assert session.moving is not None


def test_a_lost_connection_comes_back_within_the_time_the_welcome_said() -> None:
    session = ClientSession("ticket", random.Random(1))
    session.opened(0.0)
    tell(session, msgspec.structs.replace(welcome(), return_ms=3_000), Snapshot(0, [], [], []), Live(0))
    waits = []
    for _ in range(200):
        session._attempt = 0
        session.closed(1006, 0.0)
        waits.append(session.connect_at_s or 0.0)
    assert 2.5 < max(waits) <= 3.0
    assert 1.3 < sum(waits) / len(waits) < 1.7


async def test_planners_come_first_through_a_door_that_many_wait_for() -> None:
    door, through = Door(1), []

    async def go(who: str, rank: int) -> None:
        await door.enter(rank)
        through.append(who)
        door.leave()

    await door.enter(2)
    waiting = [asyncio.create_task(go(who, rank)) for who, rank in (("guest", 2), ("vendor", 1), ("late", 2), ("planner", 0))]
    await asyncio.sleep(0)  # noqa: TID251 - a turn of the loop, not a time
    waiting[2].cancel()
    door.leave()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert through == ["planner", "vendor", "guest"]
    async with asyncio.timeout(5):
        await door.enter(2)  # the place of the one who went away is not lost


def test_a_client_knows_its_rank_once_it_was_welcomed() -> None:
    session = ClientSession("ticket", random.Random(1))
    assert rank(session.member) == 2
    session.opened(0.0)
    tell(session, welcome())
    assert rank(session.member) == 0
