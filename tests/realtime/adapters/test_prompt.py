"""A request has to be complete in time, and of a size; between two of them a connection may rest."""

from __future__ import annotations

import inspect

import daphne.server
import pytest
from daphne.http_protocol import WebRequest
from daphne.ws_protocol import WebSocketProtocol
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.http import HTTPChannel, Request

from realtime.adapters.prompt import REQUEST_S, PromptChannel, PromptFactory
from realtime.policy.limits import BODY_MAX_BYTES, UPLOAD_MAX_BYTES


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
    assert "self.allHeadersReceived()" in inspect.getsource(HTTPChannel.lineReceived)
    assert "self._path = request" in inspect.getsource(HTTPChannel.lineReceived)
    assert 'unquote(value.decode("ascii"))' in inspect.getsource(WebRequest.process)
    assert 'unquote(value.decode("ascii"))' in inspect.getsource(WebSocketProtocol.onConnect)
    assert "length = int(data)" in inspect.getsource(HTTPChannel._maybeChooseTransferDecoder)
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


def posted(path: str, header: str) -> tuple[PromptChannel, StringTransport, Clock]:
    prompt, transport, clock = channel()
    prompt.dataReceived(f"POST {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
    return prompt, transport, clock


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/healthz", BODY_MAX_BYTES),
        ("/ws/weddings/rose-garden/", BODY_MAX_BYTES),
        ("/nothing/admin/", BODY_MAX_BYTES),
        ("/admin/weddings/wedding/import-calendar/", UPLOAD_MAX_BYTES),
    ],
)
def test_a_body_above_the_limit_is_refused_before_it_is_there(path: str, limit: int) -> None:
    prompt, transport, _ = posted(path, f"Content-Length: {limit}")
    prompt.dataReceived(bytes(limit))
    assert transport.value() == b"" and prompt.requests[0].content.tell() == 0  # with the application, from its first byte on
    prompt.connectionLost(None)
    prompt, transport, _ = posted(path, f"Content-Length: {limit + 1}\r\nExpect: 100-continue")
    head, _, body = transport.value().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ") and b"\r\nConnection: close\r\n" in head
    assert body == b'{"error": {"code": "too_large", "message": "The body may have %d bytes."}}' % limit
    assert f"\r\nContent-Length: {len(body)}".encode() in head


@given(st.lists(st.integers(1, 70_000), min_size=1, max_size=8), st.integers(1, 70_000))
def test_a_body_in_chunks_is_kept_up_to_the_limit_however_it_comes(sizes: list[int], read: int) -> None:
    prompt, transport, _ = posted("/healthz", "Transfer-Encoding: chunked")
    data = b"".join(chunked(bytes(size)) for size in sizes)
    for at in range(0, len(data), read):
        prompt.dataReceived(data[at : at + read])
        assert prompt.requests[0].content.tell() <= BODY_MAX_BYTES and not prompt._dataBuffer
    assert transport.value().count(b"HTTP/1.1 413 ") == (len(data) > BODY_MAX_BYTES)
    prompt.connectionLost(None)
    assert prompt.requests[0].content.closed


def test_what_was_refused_is_read_and_thrown_away_until_its_time_is_over() -> None:
    prompt, transport, clock = posted("/healthz", "Content-Length: 100000000")
    said = transport.value()
    for _ in range(int(REQUEST_S)):
        assert not transport.disconnecting
        prompt.dataReceived(bytes(65_536) + b"\r\nGET / HTTP/1.1\r\n\r\n")
        clock.advance(1.0)
    assert transport.value() == said and transport.disconnecting and len(prompt.requests) == 1


def test_a_length_that_is_no_number_of_bytes_is_a_bad_request() -> None:
    _, transport, _ = posted("/healthz", "Content-Length: " + "9" * 5_000)
    assert transport.value().startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("header", "good"),
    [
        ("Sec-WebSocket-Protocol: ticket.\xff\xe9.a", False),
        ("sec-websocket-protocol: ticket.a,\r\n \xff", False),
        ("Daphne-Root-Path: /\xff", False),
        ("Sec-WebSocket-Protocol: wedsync.v1, ticket.a", True),
        ("Cookie: sessionid=\xff", True),
    ],
)
@pytest.mark.parametrize("after", ["", "Accept: */*\r\n"])
def test_what_daphne_reads_as_ascii_has_to_be(header: str, good: bool, after: str) -> None:
    prompt, transport, _ = channel()
    prompt.dataReceived(f"GET / HTTP/1.1\r\nHost: x\r\n{header}\r\n{after}\r\n".encode("latin-1"))
    assert transport.value() == (b"" if good else b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert transport.disconnecting is not good and prompt._handlingRequest is good


def test_each_request_of_a_connection_has_the_limit_for_itself() -> None:
    prompt, transport, _ = channel()
    for _ in range(3):
        prompt.dataReceived(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(bytes(40_000)))
        prompt.dataReceived(b"0\r\n\r\n")
        prompt.requests[0].content.close()
        prompt.requests[0].finish()
    assert transport.value().count(b"HTTP/1.1 200 ") == 3
