"""Who may come in and who may say what. Tickets are checked without the database."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import secrets
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec
from django.conf import settings
from django.core.cache import cache
from msgspec import Struct
from redis.exceptions import RedisError

from realtime.config import RealtimeConfig
from realtime.errors import BadCredentials, Forbidden, UnknownKind
from realtime.kinds import KINDS, Kind
from realtime.messages import Sender
from realtime.roles import ROLES, Role

_SALT = "realtime.ticket"
TICKET_MAX_CHARS = 2_000


class Ticket(Struct, frozen=True, array_like=True):
    """What a ticket says, signed: this member may join this room until `expires_s` (Unix seconds), and until `login`
    is over ("": it came without an account)."""

    room: str
    member: Sender
    expires_s: int
    nonce: str
    reusable: bool
    login: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Ticket).decode


def issue_ticket(room: str, member: Sender, *, now: datetime, ttl_s: int, reusable: bool = False, login: str = "") -> str:
    """A ticket as URL-safe text without padding: `payload.signature`, fit for a subprotocol or an Authorization header."""
    ticket = Ticket(room, member, int(now.timestamp()) + ttl_s, secrets.token_urlsafe(9), reusable, login)
    payload = base64.urlsafe_b64encode(_encode(ticket)).rstrip(b"=").decode()
    return f"{payload}.{_signature(payload)}"


def resume_ticket(room: str, member: Sender, login: str, now: datetime, config: RealtimeConfig) -> str:
    """What lets this member come back without session or database."""
    return issue_ticket(room, member, now=now, ttl_s=config.resume_ttl_s, reusable=True, login=login)


def read_ticket(text: str, room: str, now: datetime, config: RealtimeConfig) -> Ticket:
    """The ticket, when it is signed by us, for this room, not over, and its role exists here. Raises BadCredentials.

    Whether it was used before is `spend`'s question.
    """
    payload, _, signature = text.partition(".")
    if len(text) > TICKET_MAX_CHARS or not hmac.compare_digest(signature.encode(), _signature(payload).encode()):
        raise BadCredentials
    try:
        ticket = _decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadCredentials from error
    if ticket.room != room or ticket.expires_s + config.clock_leeway_s < now.timestamp() or ticket.member.role not in ROLES:
        raise BadCredentials
    if ROLES[ticket.member.role] is Role.LOAD and not config.load_testing:
        raise BadCredentials("The role load exists only where load testing is switched on.")
    return ticket


USED = "This ticket was used before."
SPENT_MAX = 20_000
_spent: dict[str, None] = {}
"""What was used here last."""


async def spend(ticket: Ticket, now: datetime, leeway_s: float) -> None:
    """Take note that a single-use ticket was used. Raises BadCredentials the second time.

    The cache is shared by all processes when there is Redis. When it cannot be asked, the signature, the short life of the
    ticket and what this process remembers have to do: a wedding goes on without Redis.
    """
    if ticket.reusable:
        return
    if ticket.nonce in _spent:
        raise BadCredentials(USED)
    _spent[ticket.nonce] = None
    if len(_spent) > SPENT_MAX:
        del _spent[next(iter(_spent))]
    # As long as anybody might still take it, whichever of our clocks is wrong.
    left_s = max(1, ticket.expires_s - int(now.timestamp()) + 1) + 2 * math.ceil(leeway_s)
    try:
        fresh = await cache.aadd(f"ticket:{ticket.nonce}", 1, timeout=left_s)
    except (OSError, RedisError):
        return
    if not fresh:
        raise BadCredentials(USED)


def _signature(payload: str) -> str:
    """As `django.utils.crypto.salted_hmac` makes it with SHA-256, a tenth as long: there are three in a join."""
    digest = hmac.digest(_key(settings.SECRET_KEY), payload.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@lru_cache(maxsize=4)
def _key(secret: str) -> bytes:
    return hashlib.sha256(_SALT.encode() + secret.encode()).digest()


def origin_allowed(origin: str | None, host: str, extra: Iterable[str]) -> bool:
    """Whether a page of `origin` may use the session of `host`: the same scheme-less host and port, or listed exactly.

    None (no Origin header: not a browser) is for the caller to judge; "null" never matches.
    """
    if origin is None:
        return False
    parts = urlsplit(origin)
    if (
        parts.scheme in ("http", "https")
        and parts.netloc
        and f"{parts.scheme}://{parts.netloc}" == origin
        and parts.netloc == host
    ):
        return True
    return origin in extra


def may_publish(kind_name: str, role_name: str, config: RealtimeConfig) -> Kind:
    """The kind, when this role may publish it. The application itself (`system`) and load tools (`load`) may publish all.

    Raises UnknownKind or Forbidden.
    """
    kind = KINDS.get(kind_name)
    if kind is None or (kind.load_only and not config.load_testing):
        raise UnknownKind(f"There is no message kind {kind_name[:40]!r}.", field="kind")
    if role_name not in ("system", "load") and not kind.publishers & ROLES.get(role_name, Role(0)):
        raise Forbidden(f"A {role_name} may not publish {kind.name}.", field="kind")
    return kind
