"""HTTP: publishing from any language, and what a load balancer asks."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial

import msgspec
from asgiref.sync import sync_to_async
from django.db import DatabaseError, Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from msgspec import Struct

from realtime.bootstrap import services
from realtime.credentials import bearer, good_ticket, use
from realtime.draft import draft
from realtime.errors import (
    BadCredentials,
    JournalUnavailable,
    Malformed,
    RealtimeError,
    RegistryUnavailable,
    TooLarge,
    Unanswered,
)  # fmt: skip
from realtime.messages import Id, Sender
from realtime.policy.limits import message_limit
from realtime.publish import submit
from realtime.revoked import Revoked, withdrawn
from realtime.roles import ROLES
from realtime.services import WEB_SLOT, Services

TICK_MAX_AGE_S = 5.0
"""Five missed comparisons with the journal: this process may be deaf."""


class PublishRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a publish request; the same fields as the WebSocket's `publish`."""

    kind: str
    data: msgspec.Raw
    id: Id | None = None
    expires_at: datetime | None = None
    replaces: Id | None = None


_decode = msgspec.json.Decoder(PublishRequest).decode


def _failure(error: RealtimeError, status: int | None = None) -> JsonResponse:
    body: dict[str, object] = {"code": error.code, "message": error.message}
    if error.field:
        body["field"] = error.field
    if isinstance(error, Unanswered):
        body["id"] = error.id
    if error.retry_after_ms:
        body["retry_after_ms"] = error.retry_after_ms
    response = JsonResponse({"error": body}, status=status or error.http_status)
    if error.retry_after_ms:
        response["Retry-After"] = str(-(-error.retry_after_ms // 1_000))
    return response


@csrf_exempt  # no cookie is looked at: the token in the header is the credential
@require_POST
async def publish_view(request: HttpRequest, slug: str) -> JsonResponse:
    """`POST /api/weddings/<slug>/publish/`: 201 with the offset after the commit, 200 when this id was stored before,
    202 when an emergency went out and is stored later."""
    parts = services()
    try:
        sender, program = await _sender(request, slug, parts)
        body = _body(request, sender.role, message_limit(ROLES[sender.role], parts.config))
        checking = partial(draft, parts.config) if program else parts.intake.draft
        checked = checking(
            slug, body.kind, body.data, sender=sender, id=body.id, expires_at=body.expires_at, replaces=body.replaces
        )
        result = await submit(parts, checked)
    except BadCredentials as error:
        return _failure(error, 401 if not request.headers.get("Authorization") else 403)
    except RealtimeError as error:
        return _failure(error)
    if result.provisional:
        return JsonResponse({"id": result.id, "provisional": True}, status=202)
    answer = {"id": result.id, "duplicate": result.duplicate}
    if result.offset:
        answer["offset"] = result.offset
    return JsonResponse(answer, status=200 if result.duplicate else 201)


def _body(request: HttpRequest, role: str, limit: int) -> PublishRequest:
    if len(request.body) > limit:  # our Daphne refuses what is large for anybody before it is read
        raise TooLarge(f"A {role} may send {limit} bytes at once.")
    try:
        return _decode(request.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(str(error)) from None


async def _sender(request: HttpRequest, slug: str, parts: Services) -> tuple[Sender, bool]:
    """Who asks, and whether that is a program of the staff, which nothing but its size limits."""
    token = bearer(request.headers.get("Authorization", ""))
    if not token:
        raise BadCredentials("An Authorization header with a bearer token is needed.")
    if "." in token:
        ticket = good_ticket(token, slug, parts)
        if parts.ticked_s is None and withdrawn(ticket.member, ticket.login, await _revoked(parts)):
            raise BadCredentials
        return await use(ticket, parts), False
    return await _program(slug, token, parts), True


async def _program(slug: str, token: str, parts: Services) -> Sender:
    """Whose API token it is. One that was good lately does not wait for a database that is away: it may bring an emergency."""
    known = parts.programs.known(slug, token, parts.hub.revoked)
    try:
        async with asyncio.timeout(None if known is None else parts.config.provisional_after_s):
            program: Sender | None = await parts.in_thread(parts.domain.token, slug, token)
    except (Error, TimeoutError) as error:
        if known is None:
            raise JournalUnavailable(retry_after_ms=1_000) from error
        return known
    parts.programs.remember(slug, token, program)
    if program is None:
        raise BadCredentials
    return program


async def _revoked(parts: Services) -> Revoked:
    """For the first requests to a process that has asked nobody yet. With the database away it is as for sockets: emergencies
    go ahead."""
    try:
        return await sync_to_async(parts.domain.revoked)()
    except (DatabaseError, JournalUnavailable):
        return parts.hub.revoked


async def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"ok": True})


async def openz(request: HttpRequest) -> JsonResponse:
    """What a proxy asks: whether this worker takes people, 200 or 503, and why not.

    Its own state, and that its loop answers. What is away for all workers alike, the journal above all, is no reason to send
    people nowhere: members come back without it, and emergencies arrive. Of a worker that alone cannot store the control loop
    knows (`realtime.policy.fleet_load`)."""
    parts = services()
    await parts.start()
    takes = parts.state == "ready"
    return JsonResponse({"open": takes, "state": parts.state, "reason": parts.reason}, status=200 if takes else 503)


async def readyz(request: HttpRequest) -> JsonResponse:
    """What people ask: whether everything is as it should be, 200 or 503, and what is not."""
    parts = services()
    await parts.start()
    ticked_s = parts.ticked_s
    age_s = None if ticked_s is None else parts.clock.monotonic() - ticked_s
    checks = {
        "journal": await sync_to_async(_journal_answers)(),
        "tick": age_s is not None and age_s < TICK_MAX_AGE_S,
        "writer": await _stores(parts),
        "state": parts.state == "ready",
    }
    ready = all(checks.values())
    return JsonResponse({"ready": ready, "checks": checks, "process": parts.hub.process}, status=200 if ready else 503)


async def _stores(parts: Services) -> bool:
    """Whether what is published is stored, here or, as the web process of a fleet, by any worker."""
    if parts.slot != WEB_SLOT or parts.committer.down:
        return not parts.committer.down
    try:
        reports = await parts.registry.reports()
    except RegistryUnavailable:
        return True  # as far as is known
    serving = [report for report in reports if report.state == "ready"]
    return not serving or any(report.journal_healthy for report in serving)


def _journal_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM realtime_room LIMIT 1")
    except Exception:  # whatever the driver raises, the answer is no
        return False
    return True
