"""The writer of a process: joins what waits, and what it does when the journal is down."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from realtime.committer import BATCH_MIN, COMMIT_GOAL_S, RETRY_S, Committer
from realtime.config import RealtimeConfig
from realtime.draft import draft
from realtime.errors import JournalUnavailable, UnknownRoom
from realtime.publication import Draft, Entry, Outcome, Stored, Swept
from tests.fakes import ManualClock, MemoryJournal

CONFIG = RealtimeConfig(commit_queue_max=3)


class Bench:
    """A committer on a memory journal whose thread a test can hold back."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.journal = MemoryJournal(self.clock, "w")
        self.batches: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.offered: list[Entry] = []
        self.early: list[Draft] = []
        self.forgotten: list[Draft] = []
        self.committer = Committer(
            CONFIG,
            self,
            self.clock,
            self.in_thread,
            committed=self.offered.extend,
            provisional=self.early.append,
            forget=self.forgotten.append,
        )

    def commit(self, drafts: Sequence[Draft]) -> list[Outcome]:
        self.batches.append(len(drafts))
        return self.journal.commit(drafts)

    def sweep(self) -> Swept:
        return self.journal.sweep()

    def probe(self) -> None:
        self.journal.probe()

    async def in_thread(self, function: Any, *args: Any) -> Any:
        await self.gate.wait()
        return function(*args)

    def submit(self, kind: str = "chat.crew", room: str = "w", **more: Any) -> asyncio.Future[Stored]:
        data = {"alert": "a", "category": "fire", "text": "out"} if kind == "emergency.alert" else {"text": "x"}
        return self.committer.submit(draft(CONFIG, room, kind, data), **more)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_waits_goes_with_one_commit(bench: Bench) -> None:
    bench.gate.clear()
    first = bench.submit()
    await turns()
    rest = [bench.submit(), bench.submit()]
    bench.gate.set()
    assert [(await stored).offset for stored in (first, *rest)] == [1, 2, 3]
    assert bench.batches == [1, 2]


async def test_members_are_served_before_the_publisher_is_answered(bench: Bench) -> None:
    seen: list[int] = []
    stored = bench.submit()
    stored.add_done_callback(lambda _: seen.append(len(bench.offered)))
    await stored
    await turns()
    assert seen == [1]


async def test_each_publication_has_its_own_outcome(bench: Bench) -> None:
    bad, good = bench.submit(room="nowhere"), bench.submit()
    with pytest.raises(UnknownRoom):
        await bad
    assert (await good).offset == 1


async def test_a_full_queue_refuses_instead_of_growing(bench: Bench) -> None:
    bench.gate.clear()
    waiting = [bench.submit() for _ in range(CONFIG.commit_queue_max)]
    with pytest.raises(JournalUnavailable):
        await bench.submit()
    bench.gate.set()
    assert [(await stored).offset for stored in waiting] == [1, 2, 3]


async def test_when_the_journal_is_down_ordinary_publications_are_refused(bench: Bench) -> None:
    bench.journal.up = False
    with pytest.raises(JournalUnavailable):
        await bench.submit()
    assert bench.committer.down and bench.offered == []


async def test_when_the_journal_is_down_an_emergency_leaves_at_once_and_is_stored_later(bench: Bench) -> None:
    bench.journal.up = False
    told: list[str] = []
    stored = bench.submit("emergency.alert", left_early=lambda: told.append("early"))
    await turns()
    assert told == ["early"] and len(bench.early) == 1 and not stored.done()
    bench.journal.up = True
    bench.clock.advance(RETRY_S)
    assert (await stored).offset == 1
    assert [entry.id for entry in bench.offered] == [bench.early[0].id]
    assert not bench.committer.down and told == ["early"]


async def test_what_a_fault_keeps_from_being_stored_stays_with_its_publisher(bench: Bench) -> None:
    bench.journal.entries = None  # type: ignore[assignment]  # any fault that is not the database's
    with pytest.raises(JournalUnavailable) as caught:
        await bench.submit()
    assert caught.value.retry_after_ms > 0


async def test_what_its_author_said_after_what_a_fault_kept_from_being_stored_comes_again_too(bench: Bench) -> None:
    works, bench.journal.entries["elsewhere"] = bench.journal.commit, []

    def fails_once(drafts: Sequence[Draft]) -> list[Outcome]:
        bench.journal.commit = works  # type: ignore[method-assign]
        raise ValueError

    bench.journal.commit = fails_once  # type: ignore[method-assign]
    bench.gate.clear()
    first = bench.submit()
    await turns()
    later, other = bench.submit(), bench.submit(room="elsewhere")
    bench.gate.set()
    for refused in (first, later):
        with pytest.raises(JournalUnavailable):
            await refused
    assert (await other).offset == 1


async def test_a_process_that_ends_tells_publishers_nothing(bench: Bench) -> None:
    bench.gate.clear()
    stored = bench.submit()
    await turns()
    assert bench.committer._task is not None
    bench.committer._task.cancel()
    await turns()
    assert stored.cancelled()


async def test_an_emergency_does_not_wait_for_a_slow_commit() -> None:
    bench = Bench()
    bench.committer = Committer(
        RealtimeConfig(provisional_after_s=0.001),
        bench,
        bench.clock,
        bench.in_thread,
        committed=bench.offered.extend,
        provisional=bench.early.append,
    )
    bench.gate.clear()
    left = asyncio.Event()
    stored = bench.submit("emergency.alert", left_early=left.set)
    await asyncio.wait_for(left.wait(), 5)
    assert len(bench.early) == 1 and not stored.done()
    bench.gate.set()
    assert (await stored).offset == 1


async def test_what_is_urgent_is_committed_before_what_waited_longer(bench: Bench) -> None:
    bench.gate.clear()
    order: list[str] = []

    def submit(kind: str) -> asyncio.Future[Stored]:
        stored = bench.submit(kind)
        stored.add_done_callback(lambda done: order.append(f"{kind} {done.result().offset}"))
        return stored

    under_way = submit("chat.crew")
    await turns()
    waiting = [submit("chat.crew"), submit("emergency.alert")]
    bench.gate.set()
    await asyncio.gather(under_way, *waiting)
    assert order == ["chat.crew 1", "emergency.alert 2", "chat.crew 3"]


async def test_a_flood_of_chat_does_not_close_the_door_to_what_is_urgent(bench: Bench) -> None:
    bench.gate.clear()
    flood = [bench.submit() for _ in range(2 * CONFIG.commit_queue_max)]
    await turns()
    alert = bench.submit("emergency.alert")
    bench.gate.set()
    outcomes = await asyncio.gather(alert, *flood, return_exceptions=True)
    assert isinstance(outcomes[0], Stored)
    assert sum(isinstance(outcome, JournalUnavailable) for outcome in outcomes[1:]) == CONFIG.commit_queue_max


class Slow(Bench):
    """A journal that takes `fixed_s` for a commit and `each_s` for a publication in it."""

    def __init__(self, fixed_s: float, each_s: float) -> None:
        super().__init__()
        self.fixed_s, self.each_s = fixed_s, each_s
        self.committer._config = RealtimeConfig()

    def commit(self, drafts: Sequence[Draft]) -> list[Outcome]:
        self.clock.advance(self.fixed_s + self.each_s * len(drafts))
        return super().commit(drafts)


async def test_commits_that_take_too_long_get_smaller_and_grow_again() -> None:
    bench = Slow(0.001, COMMIT_GOAL_S / 20)
    await bench.submit()
    bench.batches.clear()
    bench.committer._batch_max = 256
    await asyncio.gather(*(bench.submit() for _ in range(700)))
    assert bench.batches[:4] == [256, 128, 64, 32] and BATCH_MIN <= min(bench.batches[4:-1]) <= max(bench.batches[4:]) <= 32
    bench.each_s, bench.batches = COMMIT_GOAL_S / 1_000, []
    await asyncio.gather(*(bench.submit() for _ in range(2_500)))
    assert bench.batches[0] < bench.batches[1] < bench.batches[2] and max(bench.batches) == 256


async def test_a_slow_disk_makes_no_commit_smaller() -> None:
    bench = Slow(COMMIT_GOAL_S * 4, 0.0)
    await asyncio.gather(*(bench.submit() for _ in range(2_500)))
    assert bench.batches == sorted(bench.batches[:-1]) + bench.batches[-1:] and max(bench.batches) == 256


async def test_the_backlog_is_as_old_as_its_oldest(bench: Bench) -> None:
    bench.gate.clear()
    assert bench.committer.backlog_s() == 0.0
    tasks = [bench.committer.submit(draft(CONFIG, "w", "chat.crew", {"text": "x"}, received_s=float(n))) for n in range(3)]
    bench.clock.advance(5)
    await turns()
    assert bench.committer.n_waiting == 0 and bench.committer.backlog_s() == 0.0
    tasks.append(bench.committer.submit(draft(CONFIG, "w", "chat.crew", {"text": "x"}, received_s=4.0)))
    assert bench.committer.backlog_s() == 1.0
    bench.gate.set()
    await asyncio.gather(*tasks)


async def test_what_waits_for_a_journal_that_is_down_is_no_backlog_to_shed_for(bench: Bench) -> None:
    bench.journal.up = False
    alarm = {"alert": "a", "category": "fire", "text": "out"}
    kept = bench.committer.submit(draft(CONFIG, "w", "emergency.alert", alarm, received_s=0.0))
    await turns()
    chat = bench.committer.submit(draft(CONFIG, "w", "chat.crew", {"text": "x"}, received_s=0.0))
    bench.clock.advance(0.4)
    assert bench.committer.n_waiting == 2 and bench.early and bench.committer.backlog_s() == 0.0
    bench.journal.up = True
    bench.clock.advance(RETRY_S)
    assert {(await stored).offset for stored in (kept, chat)} == {1, 2}
    assert not bench.committer.down


@pytest.mark.parametrize("fault", [False, True])
async def test_an_emergency_that_went_ahead_and_gets_no_entry_is_forgotten(bench: Bench, fault: bool) -> None:
    again = draft(CONFIG, "w", "emergency.alert", {"alert": "a", "category": "fire", "text": "out"})
    await bench.committer.submit(again)
    assert bench.forgotten == []
    bench.journal.up = False
    stored = bench.committer.submit(again)
    await turns()
    assert bench.early == [again] and bench.forgotten == []
    bench.journal.up = True
    if fault:
        bench.journal.entries = None  # type: ignore[assignment]  # any that is not the database's
    bench.clock.advance(RETRY_S)
    await asyncio.wait([stored])
    assert bench.forgotten == [again] and (stored.exception() is not None) is fault


async def test_a_full_outbox_is_emptied_at_once_and_commits_have_their_turn_in_between(bench: Bench) -> None:
    commits: list[int] = []

    def sweep() -> Swept:
        commits.append(len(bench.batches))
        if len(commits) == 1:
            bench.submit()
        return Swept(more=len(commits) < 3)

    bench.journal.sweep = sweep  # type: ignore[method-assign]
    bench.committer.sweep_soon()
    await turns(30)
    assert commits == [0, 1, 1]


async def test_a_journal_that_can_only_be_read_stays_down_until_it_stores_something(bench: Bench) -> None:
    """It went up and down each second: the look into an empty outbox had succeeded."""
    stores = False

    def full(*_: Any) -> Any:
        if not stores:
            raise JournalUnavailable
        return []

    bench.journal.commit = bench.journal.probe = full  # type: ignore[method-assign]
    refused = bench.submit()
    await turns()
    assert isinstance(refused.exception(), JournalUnavailable) and bench.committer.down
    for _ in range(3):
        bench.committer.sweep_soon()
        await turns()
        assert bench.committer.down
    stores = True
    bench.committer.sweep_soon()
    await turns()
    assert not bench.committer.down
