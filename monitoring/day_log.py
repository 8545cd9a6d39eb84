"""The black box: everything that was said in a wedding, as the journal has it, in a file that can be played again.

One JSON object a line. The first is about the wedding, each other one is an entry, in the order of their offsets.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

from realtime.models import JournalEntry, Room
from wedsync.weddings.models import Wedding

FORMAT = "wedsync day log 1"
BATCH = 2_000


def lines(slug: str) -> Generator[str] | None:
    """The lines of the file. None: there is no such wedding."""
    wedding = Wedding.objects.filter(slug=slug).first()
    room = Room.objects.filter(name=slug).first()
    if wedding is None or room is None:
        return None
    return _lines(wedding, room)


def _lines(wedding: Wedding, room: Room) -> Generator[str]:
    start, end = wedding.window
    head = {
        "format": FORMAT,
        "wedding": wedding.slug,
        "timezone": wedding.timezone,
        "ceremony_at": wedding.ceremony_at.isoformat(),
        "from": start.isoformat(),
        "to": end.isoformat(),
        "epoch": room.epoch,
        "last_offset": room.last_offset,
        # Entries up to here may have been pruned: then the file is not the whole day, and says so.
        "floor": room.floor,
    }
    yield json.dumps(head)
    for entry in JournalEntry.objects.filter(room=room).order_by("offset").iterator(BATCH):
        yield json.dumps(_entry(entry))


def _entry(entry: JournalEntry) -> dict[str, Any]:
    return {
        "offset": entry.offset,
        "at": entry.at.isoformat(),
        "kind": entry.kind,
        "audience": entry.audience,
        "member": entry.member,
        "role": entry.role,
        "id": entry.client_id,
        "data": json.loads(entry.data),
        "result": json.loads(entry.result) if entry.result else None,
    }
