"""The writer of a process: joins publications that wait into one commit, one thread hop for many."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from realtime.clock import Clock
from realtime.config import RealtimeConfig
from realtime.errors import JournalUnavailable
from realtime.kinds import Priority
from realtime.publication import Draft, Entry, Outcome, Stored, Swept

logger = logging.getLogger(__name__)

RETRY_S = 0.5
"""How long after a failed commit the emergencies that wait are tried again."""
COMMIT_GOAL_S = 0.012
"""What its publications may add to a commit: what is urgent and comes a moment too late waits for it, with 100 ms in all. What
every commit takes, on a slow disk above all, is not theirs, and does not get less with fewer of them."""
LEAST_GROWS = 1.02
"""A commit: the shortest lately is forgotten within a few dozen commits, when the disk has become slower."""
BATCH_MIN, BATCH_FIRST = 8, 32
COMPLAIN_S = 30.0
"""Between two lines of the log about the same outage: a disk that is full takes what is read, and nothing that is written."""


class Writer(Protocol):
    """What the committer calls in its thread (`realtime.journal.Journal`)."""

    def commit(self, drafts: Sequence[Draft]) -> list[Outcome]: ...
    def sweep(self) -> Swept: ...
    def probe(self) -> None: ...


class Submission:
    """One publication on its way. `stored` gives the outcome; `left_early` is called when a P0 goes ahead of its commit."""

    __slots__ = ("draft", "left_early", "provisional", "stored", "timer")

    def __init__(self, draft: Draft, stored: asyncio.Future[Stored], left_early: Callable[[], None]) -> None:
        self.draft = draft
        self.stored = stored
        self.left_early = left_early
        self.provisional = False
        self.timer: asyncio.TimerHandle | None = None

    @property
    def emergency(self) -> bool:
        return self.draft.kind.priority is Priority.P0


class Committer:
    """Group commits. One at a time: whatever comes while one is under way goes with the next.

    When the journal cannot store, P1 and P2 are refused and stay with their publishers; a P0 leaves at once without an offset
    (`provisional`) and is kept here until the journal has it.
    """

    def __init__(
        self,
        config: RealtimeConfig,
        writer: Writer,
        clock: Clock,
        in_thread: Callable[..., Any],
        *,
        committed: Callable[[Sequence[Entry]], None],
        provisional: Callable[[Draft], None],
        forget: Callable[[Draft], None] = lambda draft: None,
    ) -> None:
        """`forget`: of an emergency that may be provisional somewhere there will be no new entry."""
        self._config = config
        self._writer = writer
        self._clock = clock
        self._in_thread = in_thread
        self._committed = committed
        self._provisional = provisional
        self._forget = forget
        # What is urgent (P0, P1) is committed first; of the rest as much as a commit may take.
        self._urgent: deque[Submission] = deque()
        self._waiting: deque[Submission] = deque()
        self._batch_max = min(BATCH_FIRST, config.commit_max_entries)
        self._least_s = math.inf
        self._task: asyncio.Task[None] | None = None
        self._sweep_wanted = False
        self._complained_s = -math.inf
        self.down = False

    def submit(self, draft: Draft, left_early: Callable[[], None] = lambda: None) -> asyncio.Future[Stored]:
        """Queue `draft`. The future gives `Stored` or raises a RealtimeError; only that is the acknowledgement."""
        loop = asyncio.get_running_loop()
        submission = Submission(draft, loop.create_future(), left_early)
        waiting = self._waiting if draft.kind.priority > Priority.P1 else self._urgent
        if len(waiting) >= self._config.commit_queue_max and not submission.emergency:
            submission.stored.set_exception(JournalUnavailable(retry_after_ms=1_000))
            return submission.stored
        waiting.append(submission)
        if submission.emergency:
            if self.down:
                self._go_early(submission)
            else:
                submission.timer = loop.call_later(self._config.provisional_after_s, self._go_early, submission)
        self._start()
        return submission.stored

    @property
    def n_waiting(self) -> int:
        """Publications that wait for a commit."""
        return len(self._urgent) + len(self._waiting)

    def backlog_s(self) -> float:
        """How long the oldest one has waited; by when it arrived, where that is known.

        0 while the journal is down: what waits then waits for nothing that shedding could speed up.
        """
        if self.down:
            return 0.0
        now_s = self._clock.monotonic()
        firsts = [queue[0].draft.received_s for queue in (self._urgent, self._waiting) if queue]
        return max((now_s - received_s for received_s in firsts if received_s is not None), default=0.0)

    def sweep_soon(self) -> None:
        """A transaction with outbox rows has committed."""
        self._sweep_wanted = True
        self._start()

    async def stop(self) -> None:
        """Wait for what is under way and what waits."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=10)

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="committer")

    async def _run(self) -> None:
        while self.n_waiting or self._sweep_wanted:
            try:
                if self._sweep_wanted:
                    self._sweep_wanted = False
                    swept: Swept = await self._in_thread(self._writer.sweep)
                    self._offer(swept.entries)
                    self._sweep_wanted |= swept.more  # after those who wait for a commit
                    if self.down and not swept.entries and not self.n_waiting:
                        await self._in_thread(self._writer.probe)  # an empty outbox says nothing of what can be stored
                if self.n_waiting:
                    await self._commit()
                self.down = False
            except JournalUnavailable as error:
                if self._clock.monotonic() - self._complained_s > COMPLAIN_S:
                    self._complained_s = self._clock.monotonic()
                    logger.error("the journal is down: %s", error.__cause__ or error)
                self.down = True
                if not self.n_waiting:
                    return  # the sweep is asked for again every second
                await self._clock.sleep(RETRY_S)

    async def _commit(self) -> None:
        batch = [self._urgent.popleft() for _ in range(min(len(self._urgent), self._config.commit_max_entries))]
        # What is urgent takes only a few others with it: they must not make it late.
        room = BATCH_MIN if batch else self._batch_max
        batch += [self._waiting.popleft() for _ in range(min(len(self._waiting), room))]
        started_s = self._clock.monotonic()
        try:
            outcomes: list[Outcome] = await self._in_thread(self._writer.commit, [s.draft for s in batch])
        except JournalUnavailable:
            self._keep_emergencies(batch)
            raise
        except asyncio.CancelledError:
            for submission in batch:
                submission.stored.cancel()  # the process ends: stored or not, nobody is told, and publishers keep it
            raise
        except Exception:
            logger.exception("a commit failed")
            for submission in batch + self._said_after(batch):
                self._settle(submission, JournalUnavailable(retry_after_ms=1_000))
            return
        self._adapt(len(batch), self._clock.monotonic() - started_s)
        # First the members, then the publisher: nobody is told "stored" before the room had its chance to hear it.
        self._offer([entry for outcome in outcomes if isinstance(outcome, Stored) for entry in outcome.entries])
        for submission, outcome in zip(batch, outcomes, strict=True):
            self._settle(submission, outcome)

    def _adapt(self, size: int, took_s: float) -> None:
        """Keep commits near their goal: halve what one takes when it was too long, take more again when there is time."""
        self._least_s = min(took_s, self._least_s * LEAST_GROWS)
        if took_s - self._least_s > COMMIT_GOAL_S:
            self._batch_max = max(BATCH_MIN, min(self._batch_max, size) // 2)
        elif size >= self._batch_max:
            self._batch_max = min(self._config.commit_max_entries, self._batch_max * 3 // 2)

    def _offer(self, entries: Sequence[Entry]) -> None:
        """They are stored: a fault on the way to the members must not keep the publishers from hearing that."""
        try:
            self._committed(entries)
        except Exception:
            logger.exception("%d stored publications could not be offered", len(entries))

    def _said_after(self, batch: list[Submission]) -> list[Submission]:
        """What its authors have said since and waits here: it must not be stored before what comes again."""
        authors = {(s.draft.room, s.draft.sender.member) for s in batch}
        found: list[Submission] = []
        for queue in (self._urgent, self._waiting):
            everything = list(queue)
            queue.clear()
            for s in everything:
                late = not s.emergency and (s.draft.room, s.draft.sender.member) in authors
                (found if late else queue).append(s)
        return found

    def _keep_emergencies(self, batch: list[Submission]) -> None:
        everything = batch + list(self._urgent) + list(self._waiting)
        self._urgent.clear()
        self._waiting.clear()
        for submission in everything:
            if submission.emergency:
                self._go_early(submission)
                self._urgent.append(submission)
            else:
                self._settle(submission, JournalUnavailable(retry_after_ms=1_000))

    def _go_early(self, submission: Submission) -> None:
        if not submission.provisional and not submission.stored.done():
            submission.provisional = True
            self._provisional(submission.draft)
            submission.left_early()

    def _settle(self, submission: Submission, outcome: Outcome) -> None:
        if submission.timer is not None:
            submission.timer.cancel()
        if submission.emergency and not (isinstance(outcome, Stored) and outcome.entries):
            self._forget(submission.draft)
        if submission.stored.done():
            return
        if isinstance(outcome, Stored):
            submission.stored.set_result(outcome)
        else:
            submission.stored.set_exception(outcome)
