"""Clears away what drills have left that were killed before they could: folders, network namespaces, weddings.

Their processes are gone already: each asks the kernel to end it with its parent.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from django.apps import apps
from django.db import DatabaseError, transaction

from realtime.drills import mounts
from realtime.drills.owner import dead
from realtime.drills.server import FOLDER
from realtime.fence import PREFIX

AT_ONCE = 500
"""Entries in a transaction: on SQLite the journal of real weddings waits for it."""
NAMESPACES = Path("/run/netns")


def sweep() -> list[str]:
    """Names of what was cleared away. What cannot be cleared now is left to the next one."""
    for folder in mounts.left_behind():
        mounts.unmount(folder)  # the folder itself goes with the others
    return [*_folders(), *_namespaces(), *_weddings()]


def _folders() -> list[str]:
    # While the disk of $TMPDIR is full Python puts temporary files elsewhere, and what was left is still there.
    places = {Path(place).absolute() for place in (tempfile.gettempdir(), os.environ.get("TMPDIR", ""), "/tmp") if place}
    found = [path for place in sorted(places) for path in sorted(place.glob(f"{FOLDER}*")) if dead(path.name)]
    for path in found:
        shutil.rmtree(path, ignore_errors=True)
    return [str(path) for path in found]


def _namespaces() -> list[str]:
    """Of drills that give phones a network of their own; named with the owner's tag."""
    try:
        found = [path.name for path in NAMESPACES.iterdir() if dead(path.name)]
    except OSError:
        return []
    for name in found:
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    return found


def _weddings() -> list[str]:
    try:
        slugs = apps.get_model("weddings", "Wedding").objects.filter(slug__startswith=PREFIX).values_list("slug", flat=True)
        found = [slug for slug in slugs if dead(slug)]
        remove(found)
    except DatabaseError:  # not migrated, or away: then there is nothing to clear, or nobody who could
        return []
    return found


def remove(slugs: list[str]) -> None:
    """Delete synthetic weddings and everything that was said in them. Raises ValueError for a wedding outside the fence."""
    strange = [slug for slug in slugs if not slug.startswith(PREFIX)]
    if strange:
        raise ValueError(f"{strange[0]} is no wedding of a drill")
    entries = apps.get_model("realtime", "JournalEntry").objects
    for slug in slugs:
        while some := list(entries.filter(room__name=slug).values_list("pk", flat=True)[:AT_ONCE]):
            entries.filter(pk__in=some).delete()
        with transaction.atomic():
            apps.get_model("realtime", "Room").objects.filter(name=slug).delete()
            apps.get_model("weddings", "Wedding").objects.filter(slug=slug).delete()
