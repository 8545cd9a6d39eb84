"""Where the first bytes of a connection want to go. PURE: bytes in, a destination out; nothing is consumed."""

from __future__ import annotations

import re
from urllib.parse import unquote

from msgspec import Struct

LINE_MAX_BYTES = 4_096
"""A request line longer than this is nobody's: ours have 200 bytes with epoch and position."""
_PREFIX = "/ws/weddings/"


class Target(Struct, frozen=True):
    """`wedding`: its slug; "" for pages, API and admin. `path` is as asked for, without the query. `lead`: it says that
    it is of who leads the day and should be where the wedding is. Anybody may say so: it opens no door."""

    path: str
    wedding: str
    lead: bool = False


class Unfinished(Struct, frozen=True):
    """There must be more to come."""


class NoRequest(Struct, frozen=True):
    """This will never be a request line."""


def destination(seen: bytes) -> Target | Unfinished | NoRequest:
    """Read the request line (RFC 9112 section 3) at the beginning of `seen`.

    Whether it is a good one is for the worker to say; only what can never end, or never was HTTP, is refused here.
    """
    seen = seen.lstrip(b"\r\n")  # RFC 9112 section 2.2: empty lines before it are to be ignored
    line, end, _ = seen.partition(b"\n")
    if not end:
        fine = len(seen) < LINE_MAX_BYTES and (not seen or seen[:1].isalpha())
        return Unfinished() if fine else NoRequest()
    words = line.split()
    if len(words) != 3 or not words[2].startswith(b"HTTP/"):
        return NoRequest()
    asked, _, query = words[1].partition(b"?")
    path = unquote(asked.decode("latin-1"))  # as the worker will read it: a wedding has one key, however it is written
    wedding = path.removeprefix(_PREFIX).rstrip("/") if path.startswith(_PREFIX) else ""
    return Target(path, wedding if "/" not in wedding else "", b"lead=1" in query)


# A whole request of which nothing needs HTTP's finer points: ASCII, no line folded, nothing after the headers.
_PLAIN = re.compile(
    rb"GET (/ws/[!-\"$->@-~]*)(?:\?([!-\"$-~]*))? HTTP/1\.1\r\n(?:[-!#$%&'*+.^`|~0-9A-Za-z]+:[\t -~]*\r\n)+\r\n"
)
_UPGRADE = re.compile(rb"\r\nupgrade:[\t ]*websocket[\t ]*\r\n", re.IGNORECASE)
_BODY = re.compile(rb"\r\n(?:content-length|transfer-encoding|expect):", re.IGNORECASE)


def upgrade(seen: bytes) -> bytes | None:
    """The query, b"" without one, of a request that can go to the WebSocket protocol as it is. None: HTTP has to read it."""
    plain = _PLAIN.fullmatch(seen)
    if plain is None or _UPGRADE.search(seen) is None or _BODY.search(seen) is not None:
        return None
    return plain[2] or b""
