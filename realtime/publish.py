"""The one front door for Django code: `publish` and `apublish`.

Inside `transaction.atomic()` the publication goes into the outbox of that transaction: it is published if and after it commits,
and a crash in between loses nothing.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils.asyncio import async_unsafe
from msgspec import Struct

from realtime.bootstrap import services
from realtime.draft import SYSTEM, Payload, draft
from realtime.errors import JournalUnavailable, RealtimeError, Unanswered
from realtime.messages import Sender
from realtime.publication import Draft
from realtime.services import Services

ANSWER_S = 30.0
"""How long one waits for the writer of its process."""


class Published(Struct, frozen=True):
    """What became of it. `offset` is 0 for ephemeral kinds, while `deferred` (it follows the surrounding transaction) and
    while `provisional` (an emergency that is on the screens already and is stored as soon as the journal can)."""

    id: str
    offset: int = 0
    duplicate: bool = False
    deferred: bool = False
    provisional: bool = False


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
    """Publish from async code, whoever runs its loop. Returns after the commit. Raises a RealtimeError when nothing was
    acknowledged; after `Unanswered` the same `id` again is safe."""
    parts = services()
    return await submit(
        parts, draft(parts.config, room, kind, data, sender=sender, id=id, expires_at=expires_at, replaces=replaces)
    )


@async_unsafe("publish() would keep the loop from what it waits for: use `await apublish(...)`.")
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
    """Publish from any synchronous Django code: a view, a task, a command. As `apublish`, which is for coroutines."""
    parts = services()
    checked = draft(parts.config, room, kind, data, sender=sender, id=id, expires_at=expires_at, replaces=replaces)
    return _from_thread(parts, checked)


async def submit(parts: Services, checked: Draft) -> Published:
    """Publish what was checked already; otherwise as `apublish`."""
    if parts.loop is asyncio.get_running_loop():
        return await _by_writer(parts, checked)
    # A loop that a command or a view has for a moment must not become the home of the hub.
    return await sync_to_async(_from_thread)(parts, checked)


def _from_thread(parts: Services, checked: Draft) -> Published:
    if checked.kind.durable and transaction.get_connection().in_atomic_block:
        parts.journal.defer(checked)
        transaction.on_commit(lambda: _sweep(parts))
        return Published(checked.id, deferred=True)
    if parts.loop is None or not parts.loop.is_running():
        return _publish_alone(parts, checked)
    answer = asyncio.run_coroutine_threadsafe(_by_writer(parts, checked), parts.loop)
    try:
        return answer.result(2 * ANSWER_S)  # half of it is enough, unless the loop stands still
    except TimeoutError:
        raise Unanswered(checked.id) from None


async def _by_writer(parts: Services, checked: Draft) -> Published:
    """On the loop of the hub. An emergency is answered when it leaves, which it does without the journal."""
    if not checked.kind.durable:
        parts.hub.ephemeral(checked)
        return Published(checked.id)
    left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    stored = parts.committer.submit(checked, partial(left.set_result, None))
    stored.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody waits for it any more
    await asyncio.wait((stored, left), timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
    if not stored.done():
        if left.done():
            return Published(checked.id, provisional=True)
        raise Unanswered(checked.id)
    try:
        return Published(checked.id, stored.result().offset, stored.result().duplicate)
    except JournalUnavailable as error:
        raise Unanswered(checked.id, retry_after_ms=error.retry_after_ms) from error


def _publish_alone(parts: Services, checked: Draft) -> Published:
    """In a process without a running hub, such as a command: this thread is the writer, and others are told afterwards."""
    if not checked.kind.durable:
        parts.announce([parts.hub.fleeting_entry(checked)])
        return Published(checked.id)
    try:
        outcome = parts.journal.commit([checked])[0]
    except JournalUnavailable as error:
        raise Unanswered(checked.id) from error
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
        more = True
        while more:
            swept = parts.journal.sweep()
            parts.announce(swept.entries)
            more = swept.more
    except JournalUnavailable:
        return
