"""What a member said that is no message of the protocol: what is wrong with it, where, and to which of its messages that is the
answer. PURE.

Whoever waits for the answer to a publish is told, whatever is wrong with it, as long as anybody can read its id."""

from __future__ import annotations

import json
import re

from realtime.errors import Malformed
from realtime.messages import ID_MAX, Error

HALF = re.compile("[\ud800-\udfff]")
"""Half a pair of characters, once JSON is read: of good pairs nothing is left over."""
PLACE = re.compile(r"`\$\.?([^`]*)`$|unknown field `([^`]*)`")
"""How msgspec names it."""
HALVES = "A text holds half of a character pair: no screen can show that."


def complaint(text: bytes | str, error: Exception) -> Error:
    """The answer to `text`, which the decoder of the protocol refused with `error`."""
    said, (loose, halves) = str(error), _loosely(text)
    place = PLACE.search(said)
    field = "" if place is None or halves else place.group(1) or place.group(2) or ""
    id = loose.get("id") if isinstance(loose, dict) else None
    ref = id if isinstance(id, str) and len(id) <= ID_MAX and id.isprintable() else ""
    return Error(Malformed.code, HALVES if halves else said, ref, field)


def _loosely(text: bytes | str) -> tuple[object, bool]:
    """As a decoder understands it that is less strict, and whether it holds half a pair; None: that one does not either."""
    try:
        read = json.loads(text)
        return read, HALF.search(json.dumps(read, ensure_ascii=False)) is not None
    except (ValueError, RecursionError):
        return None, False
