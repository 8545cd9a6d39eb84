"""`drill disk-full`: the disk with the journal and the history is full for a while: a small one of the drill's own (tmpfs)."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from realtime.drills.mounts import may_mount, mount, unmount
from realtime.drills.needs import Need
from realtime.drills.outage import JournalOutage
from realtime.drills.owner import tag
from realtime.drills.server import FOLDER
from realtime.drills.workloads import Planned

DISK_BYTES = 48 * 1_048_576
BLOCK_BYTES = 65_536
CHAT_BYTES = 1_500
CHAT_EVERY_S = 0.2
"""In each room: what SQLite has room for inside its files is used up within a second or two."""


class DiskFullDrill(JournalOutage):
    name = "disk-full"
    injects = "the disk with the journal and the history is filled to its last byte for up to 30 s (a small tmpfs)"
    alerts: tuple[str, ...] = ()  # the history is on the same disk; `disk-full` fires long before, when a tenth is left
    needs = (Need("the right to mount a tmpfs", "run as root", may_mount),)
    disk: Path

    @classmethod
    @asynccontextmanager
    async def surroundings(cls) -> AsyncIterator[dict[str, str]]:
        cls.disk = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{tag()}-disk-"))
        try:
            mount(cls.disk, DISK_BYTES)
            yield {
                "DATABASE_URL": f"sqlite:///{cls.disk}/wedsync.sqlite3",
                "HISTORY_DATABASE_URL": f"sqlite:///{cls.disk}/history.sqlite3",
            }
        finally:
            _remove(cls.disk)

    async def lose(self) -> None:
        self.facts["filled_bytes"] = await asyncio.to_thread(_fill, self.disk / "ballast")

    async def give_back(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.disk / "ballast").unlink()

    def _extra(self) -> Iterator[Planned]:
        """Chat, so that what is free inside the files of the database does not last."""
        for k in range(int(self.options.duration_s / CHAT_EVERY_S)):
            for n in range(len(self.plan)):
                yield Planned(k * CHAT_EVERY_S, n, 0, "chat.crew", {"text": "x" * CHAT_BYTES})


def _remove(folder: Path) -> None:
    unmount(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _fill(path: Path) -> int:
    """Write until nothing more fits. Returns the bytes of it."""
    size = BLOCK_BYTES
    with path.open("wb", buffering=0) as ballast:
        while size:
            try:
                ballast.write(bytes(size))
            except OSError:
                size //= 2
    return path.stat().st_size
