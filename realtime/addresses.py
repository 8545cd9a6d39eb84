"""Addresses as people type them. PURE."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_BLANK = re.compile(r"[\s\0-\x1f]")


def is_address(url: str, *schemes: str) -> bool:
    """Whether a program can go there: one of these schemes, a host that can be asked for, a port or none, nothing that no
    request can hold."""
    try:
        parts = urlsplit(url)
        named = bool((parts.hostname or "").encode("idna")) and parts.port != 0  # a wrong name or port raises
    except ValueError:
        return False
    return named and parts.scheme in schemes and not _BLANK.search(url)
