"""Who a drill's folders, namespaces and weddings belong to, written into their names.

What a drill that was killed leaves behind the next one finds and clears away; it never touches what belongs to one that runs.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from pathlib import Path

_TAG = re.compile(r"([0-9a-f]{4})-(\d+)-(\d+)")


def tag() -> str:
    """Of this process: machine, pid, and when it started, since pids are used again. Fits into slugs and file names."""
    pid = os.getpid()
    return f"{_machine()}-{pid}-{_started(pid)}"


def dead(name: str) -> bool:
    """Whether `name` carries the tag of a process of this machine that is gone. A name without a tag is nobody's to clear."""
    found = _TAG.search(name)
    if found is None or found[1] != _machine():
        return False
    return _started(int(found[2])) != int(found[3])


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:4]


def _started(pid: int) -> int:
    """Clock ticks from the start of the machine to that of the process (proc(5), field 22); 0: there is none."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return 0
    fields = after_name.split()
    return 0 if fields[0] == "Z" else int(fields[19])
