"""Where the first bytes of a connection want to go. PURE: bytes in, a destination out; nothing is consumed."""

from __future__ import annotations

from dataclasses import dataclass

LINE_MAX_BYTES = 4_096
"""A request line longer than this is nobody's: ours have 200 bytes with epoch and position."""
_PREFIX = "/ws/weddings/"


@dataclass(frozen=True, slots=True)
class Target:
    """`wedding`: its slug; "" for pages, API and admin. `path` is as asked for, without the query. `lead`: it says that
    it is of who leads the day and should be where the wedding is. Anybody may say so: it opens no door."""

    path: str
    wedding: str
    lead: bool = False


@dataclass(frozen=True, slots=True)
class Unfinished:
    """There must be more to come."""


@dataclass(frozen=True, slots=True)
class NoRequest:
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
    path = asked.decode("latin-1")
    wedding = path.removeprefix(_PREFIX).rstrip("/") if path.startswith(_PREFIX) else ""
    return Target(path, wedding if "/" not in wedding else "", b"lead=1" in query)
