"""What one who comes back is told, and from where."""

from __future__ import annotations

import pytest

from realtime.policy.recovery import FromJournal, FromWindow, Recovery, SnapshotNeeded, recovery, worth_replaying


@pytest.mark.parametrize(
    ("epoch", "since", "found"),
    [
        ("e", None, SnapshotNeeded("first join")),
        ("other", 990, SnapshotNeeded("the journal was replaced")),
        ("e", 1_001, SnapshotNeeded("the client knows more than the journal")),
        ("e", 1_000, FromWindow(1_000)),
        ("e", 900, FromWindow(900)),
        ("e", 899, FromJournal(899)),
        ("e", 500, FromJournal(500)),
        ("e", 499, SnapshotNeeded("too much missed")),
        ("e", 99, SnapshotNeeded("pruned")),
    ],
)
def test_memory_then_the_journal_then_a_snapshot(epoch: str, since: int | None, found: Recovery) -> None:
    room = {"room_epoch": "e", "room_offset": 1_000, "floor": 100, "window_since": 900, "replay_max": 500}
    assert recovery(epoch=epoch, since=since, **room) == found  # type: ignore[arg-type]


@pytest.mark.parametrize(("sizes", "worth"), [([], True), ([10] * 3, True), ([1] * 4, False), ([10, 10, 11], False)])
def test_what_is_many_or_large_is_not_replayed(sizes: list[int], worth: bool) -> None:
    assert worth_replaying(sizes, 3, 30) is worth
