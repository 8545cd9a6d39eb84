"""Joining history to live traffic: what a client that comes back is told, and from where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FromWindow:
    """Everything missed is in memory: replay the entries after this offset."""

    since: int


@dataclass(frozen=True, slots=True)
class FromJournal:
    """Read the entries after this offset from the journal, then what the window has beyond them."""

    since: int


@dataclass(frozen=True, slots=True)
class SnapshotNeeded:
    """The position cannot be continued; `reason` is for the log and the metrics."""

    reason: str


Recovery = FromWindow | FromJournal | SnapshotNeeded


def recovery(
    *, epoch: str, since: int | None, room_epoch: str, room_offset: int, floor: int, window_since: int, replay_max: int
) -> Recovery:
    """How a client at (`epoch`, `since`) catches up with a room at (`room_epoch`, `room_offset`).

    `floor`: entries up to it may have been pruned. `window_since`: memory holds all entries after it. `replay_max`: beyond so
    many offsets a snapshot is cheaper for both sides. After Centrifugo's history recovery (offset and epoch).
    """
    if since is None:
        return SnapshotNeeded("first join")
    if epoch != room_epoch:
        return SnapshotNeeded("the journal was replaced")
    if since > room_offset:
        return SnapshotNeeded("the client knows more than the journal")
    if since >= window_since:
        return FromWindow(since)
    if since < floor:
        return SnapshotNeeded("pruned")
    if room_offset - since > replay_max:
        return SnapshotNeeded("too much missed")
    return FromJournal(since)


def worth_replaying(entry_bytes: Sequence[int], max_entries: int, max_bytes: int) -> bool:
    """Whether entries of so many bytes each, read for one member alone, cost less than a snapshot that many share."""
    return len(entry_bytes) <= max_entries and sum(entry_bytes) <= max_bytes
