"""A request has to be complete in time; between two of them a connection may rest."""

from __future__ import annotations

import inspect

import daphne.server
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.http import HTTPChannel, Request

from realtime.adapters.prompt import REQUEST_S, PromptChannel, PromptFactory


class Waiting(Request):
    """A request that is answered when the test says so."""

    def process(self) -> None:
        pass


def channel() -> tuple[PromptChannel, StringTransport, Clock]:
    clock, transport = Clock(), StringTransport()
    prompt = PromptChannel()
    prompt.callLater, prompt.timeOut, prompt.requestFactory = clock.callLater, 60, Waiting
    prompt.makeConnection(transport)
    return prompt, transport, clock


def test_daphne_and_twisted_have_the_names_that_are_used() -> None:
    assert "HTTPFactory(self)" in inspect.getsource(daphne.server.Server.run)
    assert "self.resetTimeout()" in inspect.getsource(HTTPChannel.dataReceived)
    assert "self._savedTimeOut = self.setTimeout(None)" in inspect.getsource(HTTPChannel.allContentReceived)
    assert isinstance(PromptFactory.protocol()._channel, PromptChannel)


def test_headers_in_drops_end_the_connection() -> None:
    prompt, transport, clock = channel()
    prompt.dataReceived(b"GET / HTTP/1.1\r\n")
    for _ in range(int(REQUEST_S)):
        assert not transport.disconnecting
        prompt.dataReceived(b"x")
        clock.advance(1.0)
    assert transport.disconnecting


def test_between_two_requests_there_is_a_minute_and_each_has_its_own_time() -> None:
    prompt, transport, clock = channel()
    for _ in range(3):
        prompt.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n")
        clock.advance(REQUEST_S - 1)
        prompt.dataReceived(b"\r\n")
        clock.advance(500)  # the answer takes its time
        prompt.requests[0].finish()
        clock.advance(59)
        assert not transport.disconnecting
    clock.advance(2)
    assert transport.disconnecting


HANDSHAKE = b"GET /ws/weddings/anna-ben/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


def test_a_connection_of_a_proxy_is_not_kept_where_its_first_request_has_chosen_the_process() -> None:
    for passed, header, kept in (
        (True, b"X-Forwarded-For: 1.2.3.4", False),
        (True, b"Accept: *", True),
        (False, b"Via: p", True),
    ):
        prompt, transport, _ = channel()
        prompt.passed = passed
        prompt.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
        prompt.requests[0].finish()
        assert (transport.disconnecting, b"connection: close" in transport.value().lower()) == (not kept, not kept)


def test_a_websocket_that_comes_after_a_page_is_asked_to_come_by_itself() -> None:
    prompt, transport, _ = channel()
    prompt.passed = True
    prompt.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    prompt.requests[0].finish()
    transport.clear()
    prompt.dataReceived(HANDSHAKE + b"\r\n")
    assert transport.value().startswith(b"HTTP/1.1 503 ") and transport.disconnecting


def test_a_websocket_that_comes_first_is_served() -> None:
    prompt, transport, _ = channel()
    prompt.passed = True
    prompt.dataReceived(HANDSHAKE + b"\r\n")
    assert not transport.value() and not transport.disconnecting
