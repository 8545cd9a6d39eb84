"""The one front door for Django code: `publish` and `apublish`.

Inside `transaction.atomic()` the publication goes into the outbox of that transaction: it is published if and after it commits,
and a crash in between loses nothing.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from django.db import transaction
from msgspec import Struct

from realtime.bootstrap import services
from realtime.draft import SYSTEM, Payload, draft
from realtime.errors import JournalUnavailable, RealtimeError
from realtime.messages import Sender
from realtime.publication import Draft, Stored
from realtime.services import Services

ANSWER_S = 30.0
"""How long a thread waits for the writer of its process."""


class Published(Struct, frozen=True):
    """What became of it. `offset` is 0 for ephemeral kinds and while `deferred` (it follows the surrounding transaction)."""

    id: str
    offset: int = 0
    duplicate: bool = False
    deferred: bool = False


async def apublish(
    room: str,
    kind: str,
    data: Payload,
    *,
    sender: Sender = SYSTEM,
    id: str | None = None,
    expires_at: datetime | None = None,
    replaces: str | None = None,
) -> Published:
    """Publish from async code. Returns after the commit; raises a RealtimeError when nothing was acknowledged."""
    parts = services()
    return await submit(
        parts, draft(parts.config, room, kind, data, sender=sender, id=id, expires_at=expires_at, replaces=replaces)
    )


def publish(
    room: str,
    kind: str,
    data: Payload,
    *,
    sender: Sender = SYSTEM,
    id: str | None = None,
    expires_at: datetime | None = None,
    replaces: str | None = None,
) -> Published:
    """Publish from any synchronous Django code: a view, a task, a command. A coroutine has `apublish`."""
    parts = services()
    checked = draft(parts.config, room, kind, data, sender=sender, id=id, expires_at=expires_at, replaces=replaces)
    if checked.kind.durable and transaction.get_connection().in_atomic_block:
        parts.journal.defer(checked)
        transaction.on_commit(lambda: _sweep(parts))
        return Published(checked.id, deferred=True)
    if parts.loop is not None and parts.loop.is_running():
        answer = asyncio.run_coroutine_threadsafe(submit(parts, checked), parts.loop)
        try:
            return answer.result(ANSWER_S)
        except TimeoutError:
            raise JournalUnavailable from None
    return _publish_alone(parts, checked)


async def submit(parts: Services, checked: Draft) -> Published:
    """Publish what was checked already; otherwise as `apublish`."""
    await parts.start()
    if not checked.kind.durable:
        parts.hub.ephemeral(checked)
        return Published(checked.id)
    stored: Stored = await parts.committer.submit(checked)
    return Published(checked.id, stored.offset, stored.duplicate)


def _publish_alone(parts: Services, checked: Draft) -> Published:
    """In a process without a running hub, such as a command: this thread is the writer, and others are told afterwards."""
    if not checked.kind.durable:
        parts.announce([parts.hub.fleeting_entry(checked)])
        return Published(checked.id)
    outcome = parts.journal.commit([checked])[0]
    if isinstance(outcome, RealtimeError):
        raise outcome
    parts.announce(outcome.entries)
    return Published(checked.id, outcome.offset, outcome.duplicate)


def _sweep(parts: Services) -> None:
    """The transaction has committed: give its publications their offsets now. If this fails, the next sweep does it."""
    if parts.loop is not None and parts.loop.is_running():
        parts.loop.call_soon_threadsafe(parts.committer.sweep_soon)
        return
    try:
        parts.announce(parts.journal.sweep())
    except JournalUnavailable:
        return
