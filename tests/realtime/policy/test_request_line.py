"""What the dispatcher reads of a connection before it gives it away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.policy.request_line import LINE_MAX_BYTES, NoRequest, Target, Unfinished, destination, upgrade


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(
            b"GET /ws/weddings/rose/?epoch=e&since=7 HTTP/1.1\r\nHost: h", Target("/ws/weddings/rose/", "rose"), id="ws"
        ),
        pytest.param(
            b"GET /ws/weddings/rose/?lead=1&epoch=e HTTP/1.1\r\n",
            Target("/ws/weddings/rose/", "rose", True),
            id="leads the day",
        ),
        pytest.param(b"GET /ws/weddings/rose HTTP/1.1\r\n", Target("/ws/weddings/rose", "rose"), id="ws without the slash"),
        pytest.param(
            b"GET /%77s/weddings/anna%2Dben/ HTTP/1.1\r\n", Target("/ws/weddings/anna-ben/", "anna-ben"), id="escaped, as read"
        ),
        pytest.param(b"\r\nGET /admin/ HTTP/1.1\n", Target("/admin/", ""), id="page, after an empty line"),
        pytest.param(b"GET /ws/weddings/a/b/ HTTP/1.1\r\n", Target("/ws/weddings/a/b/", ""), id="no wedding"),
        pytest.param(b"POST /api/weddings/rose/publish/ HTTP/1.1\r\n", Target("/api/weddings/rose/publish/", ""), id="api"),
        pytest.param(b"GET /ws/wed", Unfinished(), id="half"),
        pytest.param(b"", Unfinished(), id="nothing yet"),
        pytest.param(b"\x16\x03\x01\x02", NoRequest(), id="TLS"),
        pytest.param(b"GET /\r\n", NoRequest(), id="no version"),
        pytest.param(b"GET /" + b"x" * LINE_MAX_BYTES, NoRequest(), id="endless"),
    ],
)
def test_where_it_wants_to_go(seen: bytes, expected: object) -> None:
    assert destination(seen) == expected


@given(st.binary(max_size=200))
def test_whatever_comes_is_judged(seen: bytes) -> None:
    assert isinstance(destination(seen), Target | Unfinished | NoRequest)


@given(st.text("abc-12", min_size=1, max_size=20), st.integers(0, 60))
def test_it_does_not_matter_in_how_many_pieces_it_comes(slug: str, cut: int) -> None:
    line = f"GET /ws/weddings/{slug}/ HTTP/1.1\r\n".encode()
    assert destination(line) == Target(f"/ws/weddings/{slug}/", slug)
    assert isinstance(destination(line[: min(cut, len(line) - 2)]), Unfinished)


PLAIN = b"Host: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: a==\r\n"


@pytest.mark.parametrize(
    ("seen", "query"),
    [
        pytest.param(b"GET /ws/weddings/rose/?epoch=e&since=7 HTTP/1.1\r\n" + PLAIN + b"\r\n", b"epoch=e&since=7", id="resume"),
        pytest.param(b"GET /ws/weddings/rose/ HTTP/1.1\r\n" + PLAIN + b"\r\n", b"", id="no query"),
        pytest.param(b"GET /ws/ HTTP/1.1\r\nupgrade:\tWebSocket \r\n\r\n", b"", id="in another spelling"),
        pytest.param(b"GET /ws/weddings/rose/ HTTP/1.1\r\n" + PLAIN, None, id="half"),
        pytest.param(b"GET /ws/weddings/rose/ HTTP/1.1\r\n" + PLAIN + b"\r\nmore", None, id="more after it"),
        pytest.param(b"GET /ws/weddings/rose/ HTTP/1.1\r\nHost: h\r\n\r\n", None, id="no upgrade"),
        pytest.param(b"POST /ws/weddings/rose/ HTTP/1.1\r\n" + PLAIN + b"\r\n", None, id="no GET"),
        pytest.param(b"GET /page/ HTTP/1.1\r\n" + PLAIN + b"\r\n", None, id="elsewhere"),
        pytest.param(b"GET /ws/a#b HTTP/1.1\r\n" + PLAIN + b"\r\n", None, id="fragment"),
        pytest.param(b"GET /ws/a HTTP/1.0\r\n" + PLAIN + b"\r\n", None, id="older HTTP"),
        pytest.param(b"GET /ws/a HTTP/1.1\r\n" + PLAIN + b"Content-Length: 3\r\n\r\n", None, id="a body"),
        pytest.param(b"GET /ws/a HTTP/1.1\r\n" + PLAIN + b" folded\r\n\r\n", None, id="a folded line"),
        pytest.param(b"GET /ws/a HTTP/1.1\r\n" + PLAIN + b"X: \x85\r\n\r\n", None, id="not ASCII"),
        pytest.param(b"GET /ws/a HTTP/1.1\r\n" + PLAIN + b"X: a\x0bb\r\n\r\n", None, id="a control character"),
        pytest.param(b"GET /ws/a HTTP/1.1\r\n" + PLAIN + b"X Y: a\r\n\r\n", None, id="no name of a header"),
        pytest.param(b"GET /ws/a HTTP/1.1\n" + PLAIN + b"\r\n", None, id="a bare line feed"),
    ],
)
def test_only_a_whole_plain_request_goes_past_http(seen: bytes, query: bytes | None) -> None:
    assert upgrade(seen) == query
