"""Who knocks: reads the credentials of a WebSocket handshake or an HTTP request."""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from channels.auth import get_user
from django.conf import settings
from django.http.cookie import parse_cookie
from msgspec import Struct

from realtime.access import Ticket, issue_ticket, origin_allowed, read_ticket, spend
from realtime.errors import BadCredentials
from realtime.messages import Sender
from realtime.roles import ROLES, Role
from realtime.services import Services

TICKET_PREFIX = "ticket."


class Knock(Struct, frozen=True):
    """What a newcomer brought, read once. `wrong`: what is not good about the ticket it offered."""

    headers: dict[str, str]
    ticket: Ticket | None = None
    wrong: str = ""

    @property
    def role(self) -> Role:
        """What this newcomer is, as far as can be told without asking anybody: without a good ticket, a guest."""
        return ROLES[self.ticket.member.role] if self.ticket is not None else Role.GUEST


def knock(scope: dict[str, Any], room: str, services: Services) -> Knock:
    """Read the handshake. Nothing is asked, and nothing spent."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    text = _ticket(scope.get("subprotocols", ()), headers)
    if not text:
        return Knock(headers)
    try:
        return Knock(headers, read_ticket(text, room, services.clock.now(), services.config))
    except BadCredentials as error:
        return Knock(headers, wrong=error.message)


async def authenticate(knocked: Knock, room: str, services: Services) -> tuple[Sender, str]:
    """The member behind a handshake and a ticket for the next one. Raises BadCredentials.

    A ticket comes as a subprotocol or as a bearer token and needs no database; the session needs an exact Origin, so that no
    other site can use it. A foreign Origin is refused with either.
    """
    config, now, headers = services.config, services.clock.now(), knocked.headers
    origin = headers.get("origin")
    if origin is not None and not origin_allowed(origin, headers.get("host", ""), config.origins):
        raise BadCredentials("This origin may not connect.")
    if knocked.wrong:
        raise BadCredentials(knocked.wrong)
    if (ticket := knocked.ticket) is not None:
        member = await admitted(ticket, services)
    elif origin is None:
        raise BadCredentials("A session needs an Origin; use a ticket.")
    else:
        member = await _session_member(headers, room, services)
    return member, resume_ticket(room, member, services, now)


async def admitted(ticket: Ticket, services: Services) -> Sender:
    """The member that comes with `ticket`, which is used with this. Raises BadCredentials for a used or withdrawn one."""
    if ticket.member.member in services.hub.revoked:
        raise BadCredentials
    await spend(ticket, services.clock.now(), services.config.clock_leeway_s)
    return ticket.member


def resume_ticket(room: str, member: Sender, services: Services, now: datetime) -> str:
    """What lets this member come back without session or database."""
    return issue_ticket(room, member, now=now, ttl_s=services.config.resume_ttl_s, reusable=True)


def bearer(value: str) -> str:
    """The token of an Authorization header, "" when it is none."""
    scheme, _, token = value.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _ticket(subprotocols: Any, headers: dict[str, str]) -> str:
    offered = next((p.removeprefix(TICKET_PREFIX) for p in subprotocols if p.startswith(TICKET_PREFIX)), "")
    return offered or bearer(headers.get("authorization", ""))


async def _session_member(headers: dict[str, str], room: str, services: Services) -> Sender:
    # Only here: most handshakes bring a ticket, and need neither cookies nor a session.
    cookies = parse_cookie(headers.get("cookie", ""))
    session = import_module(settings.SESSION_ENGINE).SessionStore(cookies.get(settings.SESSION_COOKIE_NAME))
    user = await get_user({"session": session})
    member = await sync_to_async(services.domain.member)(room, user, session)
    if member is None:
        raise BadCredentials
    return member
