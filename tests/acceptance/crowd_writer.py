"""One of several programs that publish into the same weddings at once, alone and in transactions, commands included.

python -m tests.acceptance.crowd_writer NAME COUNT SEED ROOM...
"""

from __future__ import annotations

import os
import random
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "wedsync.settings")
django.setup()

from django.db import transaction  # noqa: E402

from realtime.publish import publish  # noqa: E402
from wedsync.weddings.models import RunSheetItem  # noqa: E402


def main(name: str, count: int, seed: int, rooms: list[str]) -> None:
    rng = random.Random(seed)
    items = {room: list(RunSheetItem.objects.filter(wedding__slug=room).values_list("pk", flat=True)) for room in rooms}
    for n in range(count):
        chosen = rng.sample(rooms, k=rng.randint(1, len(rooms)))
        match n % 3:
            case 0:
                publish(chosen[0], "chat.crew", {"text": name}, id=f"{name}-{n}")
            case 1:
                data = {"item": rng.choice(items[chosen[0]]), "minutes": rng.choice([5, -5])}
                publish(chosen[0], "timeline.shift", data, id=f"{name}-{n}")
            case _:
                with transaction.atomic():
                    for room in chosen:
                        publish(room, "chat.crew", {"text": name}, id=f"{name}-{n}")
    print("done", flush=True)  # noqa: T201 - for the log


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
