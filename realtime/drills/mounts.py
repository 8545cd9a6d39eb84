"""A small file system in memory (tmpfs), for a disk that is to be full. Needs root (CAP_SYS_ADMIN)."""

from __future__ import annotations

import ctypes
import os
import tempfile
from pathlib import Path

from realtime.drills.owner import dead, tag
from realtime.drills.server import FOLDER, DrillFailed

MNT_DETACH = 2
SOURCE = "wedsync-drill"
"""What the kernel's list of file systems calls it."""
MOUNTS = Path("/proc/self/mounts")
_libc = ctypes.CDLL(None, use_errno=True)


def mount(folder: Path, n_bytes: int) -> None:
    """Put a file system of so many bytes on `folder`. Raises DrillFailed."""
    if _libc.mount(SOURCE.encode(), os.fsencode(folder), b"tmpfs", 0, f"size={n_bytes},mode=700".encode()):
        raise DrillFailed(f"a tmpfs cannot be mounted: {os.strerror(ctypes.get_errno())}; run as root")


def unmount(folder: Path) -> None:
    """Take it away, even while somebody has a file open in it."""
    _libc.umount2(os.fsencode(folder), MNT_DETACH)


def may_mount() -> bool:
    """Whether this process may do that; leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix=f"{FOLDER}{tag()}-may-") as folder:
        try:
            mount(Path(folder), 65_536)
        except DrillFailed:
            return False
        unmount(Path(folder))
        return True


def left_behind() -> list[Path]:
    """Where drills whose process is gone have left one."""
    mounted = (line.split() for line in MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines())
    folders = [Path(words[1]) for words in mounted if words[0] == SOURCE]
    return [folder for folder in folders if dead(folder.name)]
