"""A program beside the server that changes the domain and publishes in one transaction, until it is killed.

    python -m tests.acceptance.atomic_writer PREFIX COUNT ROOM...

It begins with number 1; the change of number N is one more invited guest, its publication has the id PREFIX-N. What is there
already from an earlier run, it leaves out. Prints each number once its transaction has committed.
"""

from __future__ import annotations

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wedsync.settings")
django.setup()

from django.db import transaction  # noqa: E402
from django.db.models import F  # noqa: E402

from realtime.models import JournalEntry, OutboxEntry  # noqa: E402
from realtime.publish import publish  # noqa: E402
from wedsync.weddings.models import Wedding  # noqa: E402


def main(prefix: str, count: int, rooms: list[str]) -> None:
    journalled = JournalEntry.objects.filter(client_id__startswith=f"{prefix}-").values_list("client_id", flat=True)
    waiting = OutboxEntry.objects.filter(publication_id__startswith=f"{prefix}-").values_list("publication_id", flat=True)
    done = set(waiting) | set(journalled)
    for n in range(1, count + 1):
        if f"{prefix}-{n}" not in done:
            slug = rooms[n % len(rooms)]
            with transaction.atomic():
                Wedding.objects.filter(slug=slug).update(invited_guests=F("invited_guests") + 1)
                publish(slug, "rsvp.change", {"guest": f"g{n}", "answer": "yes"}, id=f"{prefix}-{n}")
        print(n, flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
