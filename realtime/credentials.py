"""Who knocks: reads the credentials of a WebSocket handshake or an HTTP request."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from channels.auth import get_user
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.http.cookie import parse_cookie
from msgspec import Struct

from realtime.access import Ticket, origin_allowed, read_ticket, spend
from realtime.errors import BadCredentials
from realtime.messages import Sender
from realtime.ports import Domain
from realtime.revoked import LOGIN, password_name, withdrawn
from realtime.roles import ROLES, Role
from realtime.services import Services

TICKET_PREFIX = "ticket."


class Knock(Struct, frozen=True):
    """What a newcomer brought, read once: a good ticket, or a session that nobody has looked at yet."""

    headers: dict[str, str]
    ticket: Ticket | None = None

    @property
    def role(self) -> Role:
        """What this newcomer is, as far as can be told without asking anybody: without a ticket, a guest."""
        return ROLES[self.ticket.member.role] if self.ticket is not None else Role.GUEST


def knock(scope: dict[str, Any], room: str, services: Services) -> Knock:
    """Read the handshake. Nothing is asked, and nothing spent. Raises BadCredentials for whoever would not be let in anyway.

    A ticket comes as a subprotocol or as a bearer token and needs no database; the session needs an exact Origin, so that no
    other site can use it. A foreign Origin is refused with either.
    """
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    origin = headers.get("origin")
    if origin is not None and not origin_allowed(origin, headers.get("host", ""), services.config.origins):
        raise BadCredentials("This origin may not connect.")
    if text := _ticket(scope.get("subprotocols", ()), headers):
        return Knock(headers, good_ticket(text, room, services))
    if origin is None:
        raise BadCredentials("A session needs an Origin; use a ticket.")
    if not _session_key(headers):  # only here: most handshakes bring a ticket, and their cookies are not looked at
        raise BadCredentials("Neither a ticket nor a session came.")
    return Knock(headers)


async def authenticate(knocked: Knock, room: str, services: Services) -> tuple[Sender, str]:
    """The member behind a handshake and the login it comes from, "" without an account. Raises BadCredentials."""
    if knocked.ticket is not None:
        return await use(knocked.ticket, services), knocked.ticket.login
    return await _session_member(knocked.headers, room, services)


def good_ticket(text: str, room: str, services: Services) -> Ticket:
    """A ticket of somebody who is still welcome. Raises BadCredentials. Whether it was used before, `use` finds out."""
    ticket = read_ticket(text, room, services.clock.now(), services.config)
    if withdrawn(ticket.member, ticket.login, services.hub.revoked):
        raise BadCredentials
    return ticket


async def use(ticket: Ticket, services: Services) -> Sender:
    """The member that comes with `ticket`. Raises BadCredentials when it works once and was used before."""
    await spend(ticket, services.clock.now(), services.config.clock_leeway_s)
    return ticket.member


def bearer(value: str) -> str:
    """The token of an Authorization header, "" when it is none."""
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _ticket(subprotocols: Any, headers: dict[str, str]) -> str:
    offered = next((p.removeprefix(TICKET_PREFIX) for p in subprotocols if p.startswith(TICKET_PREFIX)), "")
    return offered or bearer(headers.get("authorization", ""))


def _session_key(headers: dict[str, str]) -> str | None:
    return parse_cookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME)


async def _session_member(headers: dict[str, str], room: str, services: Services) -> tuple[Sender, str]:
    session = import_module(settings.SESSION_ENGINE).SessionStore(_session_key(headers))
    user = await get_user({"session": session})
    member, link = await sync_to_async(_found)(services.domain, room, user, session)
    if member is None:
        raise BadCredentials
    return member, f"{login_of(session)} {link}".strip()  # which `get_user` has loaded


def _found(domain: Domain, room: str, user: Any, session: Any) -> tuple[Sender | None, str]:
    """With one hop to a thread."""
    member = domain.member(room, user, session)
    return member, "" if member is None else domain.link(room, user, session)


def login_of(session: Any) -> str:
    """What the tickets of this session say of its login: its names, "" without an account."""
    hashed = session.get(HASH_SESSION_KEY)
    return " ".join(filter(None, (session.get(LOGIN), hashed and password_name(hashed))))
