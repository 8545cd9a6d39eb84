"""The supervisor: starts the processes of a fleet, starts again what dies, replaces them one by one, ends them in order.

It keeps the listening socket and the dispatcher's ends of the pairs, so that a dispatcher that died is replaced without anybody
noticing. It decides nothing about load or health: the dispatcher judges, the scaler asks for more or fewer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

from realtime.clock import Clock
from realtime.fleet import passing, processes
from realtime.fleet.children import Child, Kind, Plan
from realtime.fleet.hung import READY_S, hung
from realtime.fleet.overview import overview
from realtime.fleet.passing import Homes, Known, Leave, Seen
from realtime.policy.restarting import deaths_in_a_row, restart_delay_s

logger = logging.getLogger(__name__)

DRAIN_S = 60.0
STOP_S = 15.0
"""For the whole fleet: who has not taken the goodbye by then is left, and reported."""
END_S = 5.0
"""After SIGTERM, then SIGKILL."""
STEP_S = 0.05
LOOK_S, STOOD_STILL_S = 1.0, 3.0
"""How often it is asked who hangs; who comes so late to that has stood still itself, and knows of nobody."""


class Supervisor:
    """`run` until `stop` is called. All methods run on one loop."""

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self.plan = plan
        self.children: dict[str, Child] = {}
        self.seen = Seen({})
        self.stopping = asyncio.Event()
        self._clock = clock
        self._generation: dict[str, int] = {}
        self._told: set[str] = set()
        self._homes: dict[str, str] = {}
        self._why = "as started"
        self._address = list(plan.listener.getsockname()[:2])  # to be asked for also when nobody listens any more
        self._heard_s = self._awake_s = clock.monotonic()
        """When the dispatcher was heard of last, and since when we have not stood still."""
        self._due: set[str] = set()
        """Slots whose process is started again after a moment."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._deploying = asyncio.Lock()
        self._starting = asyncio.Lock()
        """While workers are started, one at a time. Not while others drain: who comes meanwhile may need more."""
        self._emptying = asyncio.Lock()
        """While those that are too many drain, one at a time."""

    async def run(self) -> None:
        """Start everything, look after it, end it in order."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        try:
            if self.plan.redis:
                self._start("redis", "redis")
            self._start("dispatcher", "dispatcher")
            self._start("web", "web")
            for number in range(1, self.plan.slots + 1):
                self._start(f"w{number}", "worker")
            if self.plan.control:
                self._start("control", "control")
            looking = asyncio.ensure_future(self._looking())
            await self.stopping.wait()
            looking.cancel()
            await self._end_all()
        finally:
            loop.remove_signal_handler(signal.SIGCHLD)
            for child in self.children.values():
                if child.running:
                    child.process.kill()
                    child.process.wait()

    # -- processes ----------------------------------------------------------------------------------------------------

    def _start(self, slot: str, kind: Kind, deaths: int = 0) -> Child:
        number = self._generation[slot] = self._generation.get(slot, 0) + 1
        name, ours, fds = f"{slot}.{number}", None, []
        match kind:
            case "worker" | "web":
                ours, theirs = passing.pair()
                fds = [theirs]
                command = [sys.executable, "-m", "realtime.fleet.child", "--end", str(theirs.fileno())]
            case "dispatcher":
                ours, theirs = passing.pair()
                fds = [theirs, self.plan.listener]
                limit = ["--per-s", str(self.plan.per_s), "--burst", str(self.plan.burst)]
                place = ["--listener", str(self.plan.listener.fileno()), "--control", str(theirs.fileno())]
                command = [sys.executable, "-m", "realtime.fleet.dispatcher", *place, *limit]
            case "control":
                command = list(self.plan.control)
            case "redis":
                command = list(self.plan.redis)
        env = self.plan.env | {"WEDSYNC_SLOT": slot}
        try:
            process = processes.start(command, env, [end.fileno() for end in fds], self.plan.cwd)
        except OSError:
            if ours is not None:
                ours.close()
            raise
        finally:
            if ours is not None:
                theirs.close()
        child = self.children[name] = Child(name, slot, kind, process, self._clock.monotonic(), deaths, ours)
        if kind == "control":
            processes.give_way(process.pid)
        self._share_cores()
        if kind == "dispatcher":
            assert ours is not None
            self._told = set()
            asyncio.get_running_loop().add_reader(ours.fileno(), self._hear, ours)
            self.settle(self._homes)
        self._tell_dispatcher()
        return child

    def _reap(self) -> None:
        for child in [child for child in self.children.values() if not child.running]:
            self._forget(child)
            if child.leaving or self.stopping.is_set():
                continue
            deaths = deaths_in_a_row(child.deaths, self._clock.monotonic() - child.started_s)
            delay_s = restart_delay_s(deaths)
            self.plan.log(
                f"{child.name} (pid {child.process.pid}) has ended with {child.process.returncode}; again in {delay_s:g} s"
            )
            self._fill(child.slot, child.kind, deaths, delay_s)

    def _fill(self, slot: str, kind: Kind, deaths: int, delay_s: float) -> None:
        """Start a process there after `delay_s`, unless there is one by then: that of a deploy takes the place of the other."""
        if slot not in self._due:
            self._due.add(slot)
            self._background(self._filling(slot, kind, deaths, delay_s))

    async def _filling(self, slot: str, kind: Kind, deaths: int, delay_s: float) -> None:
        try:
            while True:
                await self._clock.sleep(delay_s)
                if self.stopping.is_set() or slot not in self._wanted() or self._filled(slot):
                    return
                try:
                    self._start(slot, kind, deaths)
                    return
                except OSError as error:  # no memory or no process to be had: there may be later
                    deaths += 1
                    delay_s = restart_delay_s(deaths)
                    self.plan.log(f"{slot} cannot be started: {error}; again in {delay_s:g} s")
        finally:
            self._due.discard(slot)

    def _filled(self, slot: str) -> bool:
        return any(child.slot == slot and not child.leaving and child.running for child in self.children.values())

    def _wanted(self) -> set[str]:
        return {f"w{number}" for number in range(1, self.plan.slots + 1)} | {"web", "dispatcher", "control", "redis"}

    def _forget(self, child: Child) -> None:
        del self.children[child.name]
        if child.ours is not None:
            if child.kind == "dispatcher":
                asyncio.get_running_loop().remove_reader(child.ours.fileno())
            child.ours.close()
        self._share_cores()
        self._tell_dispatcher()

    def _share_cores(self) -> None:
        """Workers have come or gone: a deploy has one too many for a while."""
        processes.take_turns([worker.process.pid for worker in self._of("worker")])

    # -- the dispatcher -----------------------------------------------------------------------------------------------

    def _tell_dispatcher(self) -> None:
        """Which processes there are, with the ends of those it has not been told of."""
        dispatcher = self._only("dispatcher")
        if dispatcher is None or dispatcher.ours is None:
            return
        workers, webs, web = self._of("worker"), self._of("web"), self._only("web")
        new = [child for child in (*workers, *webs) if child.ours is not None and child.name not in self._told]
        known = Known(
            [c.name for c in workers], web.name if web else "", [c.name for c in new],
            [c.name for c in (*workers, *webs) if c.leaving], [c.name for c in webs],
        )  # fmt: skip
        if passing.send(dispatcher.ours, known, [child.ours.fileno() for child in new if child.ours is not None]):
            self._told |= {child.name for child in new}
        elif dispatcher.running:
            asyncio.get_running_loop().call_later(STEP_S, self._tell_dispatcher)

    def settle(self, homes: dict[str, str]) -> bool:
        """{wedding: slot}: where new members of these go from now on. Whether the dispatcher could be told."""
        self._homes = homes
        dispatcher = self._only("dispatcher")
        return dispatcher is not None and dispatcher.ours is not None and passing.send(dispatcher.ours, Homes(homes))

    def _hear(self, end: socket.socket) -> None:
        while (heard := passing.receive(end, passing.CONTROL_MAX_BYTES)) != "nothing":
            if heard == "closed":
                asyncio.get_running_loop().remove_reader(end.fileno())
                return
            if isinstance(heard[0], Seen):
                self.seen, self._heard_s = heard[0], self._clock.monotonic()

    async def _looking(self) -> None:
        before_s = self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_S)
            now_s = self._clock.monotonic()
            if now_s - before_s > STOOD_STILL_S:
                self._awake_s = now_s
            before_s = now_s
            try:
                self._end_the_hung()
            except Exception:  # without the next look nobody who hangs would be noticed any more
                logger.exception("it could not be asked who hangs")

    def _end_the_hung(self) -> None:
        for child, silent_s in hung(self.children.values(), self.seen, self._heard_s, self._awake_s, self._clock.monotonic()):
            self.plan.log(f"{child.name} (pid {child.process.pid}) has said nothing for {silent_s:.0f} s and is killed")
            child.process.kill()

    def _of(self, kind: Kind) -> list[Child]:
        return [child for child in self.children.values() if child.kind == kind]

    def _only(self, kind: Kind) -> Child | None:
        """The newest that is not on its way out."""
        return next((child for child in reversed(self._of(kind)) if not child.leaving), None)

    # -- what can be asked for ----------------------------------------------------------------------------------------

    def fleet(self) -> dict[str, Any]:
        """What `manage.py fleet --json` prints."""
        whole: dict[str, Any] = {"slots": self.plan.slots, "why": self._why, "supervisor": os.getpid()}
        # For who wants to talk to it, as a drill on the running fleet does: where it listens, and its Redis.
        whole |= {"address": self._address, "redis": self.plan.env.get("REDIS_URL", "")}
        return overview(self.children.values(), self.seen, self._clock.monotonic()) | whole

    def deploy(self, reason: str) -> AsyncIterator[dict[str, Any]]:
        """Replace all workers one by one, then the rest. Yields what was done; the last one has `done`."""
        return self._carried_out(self._deployed(reason))

    async def _deployed(self, reason: str) -> AsyncIterator[dict[str, Any]]:
        if self._deploying.locked():
            yield {"done": False, "error": "another deploy is under way; manage.py fleet shows how far it is"}
            return
        async with self._deploying:
            for child in self._of("worker"):
                if not self._stays(child):
                    continue
                yield {"step": f"starting another {child.slot}"}
                if not await self._replace(child, reason):
                    yield {"done": False, "error": f"the new {child.slot} was not ready after {READY_S:g} s; the old one stays"}
                    return
                yield {"replaced": child.name}
            web = self._only("web")
            if web is not None and not await self._replace(web, reason):
                yield {"done": False, "error": f"the new web process was not ready after {READY_S:g} s; the old one stays"}
                return
            if self.stopping.is_set():
                yield {"done": False, "error": "the server stops"}
                return
            kinds: tuple[Kind, ...] = ("dispatcher", "control")
            for kind in kinds:
                if (other := self._only(kind)) is not None:
                    other.process.terminate()  # it is started again as one that died
            yield {"done": True}

    def scale(self, slots: int, reason: str) -> AsyncIterator[dict[str, Any]]:
        """Have so many workers. New ones take their share as people come; those that are too many are drained."""
        return self._carried_out(self._scaled(slots, reason))

    async def _carried_out(self, steps: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        """All of it is done, also when nobody listens any more."""
        said: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

        async def all_of_it() -> None:
            try:
                async for step in steps:
                    said.put_nowait(step)
            finally:
                said.put_nowait(None)

        self._background(all_of_it())
        while (step := await said.get()) is not None:
            yield step

    async def _scaled(self, slots: int, reason: str) -> AsyncIterator[dict[str, Any]]:
        async with self._starting:
            slots = max(1, min(slots, self.plan.most))
            before, self.plan.slots = self.plan.slots, slots
            self._why = reason if slots != before else self._why
            for slot in [f"w{number}" for number in range(1, slots + 1)]:
                if self.stopping.is_set() or self._filled(slot) or slot in self._due:
                    continue
                try:
                    child = self._start(slot, "worker")
                except OSError as error:
                    self.plan.log(f"{slot} cannot be started: {error}")
                    self._fill(slot, "worker", 1, restart_delay_s(2))
                    yield {"started": slot, "ready": False}
                    continue
                yield {"started": child.name, "ready": await self._ready(child)}
        yield {"arranged": slots}
        if not self._emptying.locked():  # else who empties others comes to these, too
            async with self._emptying:
                while (leaver := self._surplus()) is not None:
                    await self._let_go(leaver, reason)
                    yield {"ended": leaver.name}
        yield {"done": True, "workers": slots}

    def _surplus(self) -> Child | None:
        """A worker that is too many, and not on its way yet."""
        many = [c for c in self._of("worker") if not c.leaving and c.slot not in self._wanted()]
        return max(many, key=lambda c: (len(c.slot), c.slot), default=None)  # the newest first: the scaler asks what it holds

    def _stays(self, child: Child) -> bool:
        return child.running and not child.leaving and child.slot in self._wanted() and not self.stopping.is_set()

    async def _replace(self, old: Child, reason: str) -> bool:
        async with self._starting:
            if not self._stays(old):  # meanwhile
                return True
            new = self._start(old.slot, old.kind)
            if not await self._ready(new):
                new.leaving = True
                await self._kill_after(new, 0.0)
                if not self._filled(old.slot) and not self.stopping.is_set():
                    self._fill(old.slot, old.kind, old.deaths, 0.0)  # the old one died meanwhile, and nobody took its place
                return False
        await self._let_go(old, reason)
        return True

    async def _ready(self, child: Child) -> bool:
        for _ in range(round(READY_S / STEP_S)):  # by steps: a machine that is paused takes nobody's time away
            if not child.running or self._serves(child):
                break
            await self._clock.sleep(STEP_S)
        return child.running and self._serves(child)

    def _serves(self, child: Child) -> bool:
        """As the dispatcher sees it. A worker that speaks may still be one that nobody is sent to."""
        standing = self.seen.workers.get(child.name)
        return child.name in self.seen.heard if child.kind == "web" else standing is not None and standing.state == "ready"

    async def _let_go(self, child: Child, reason: str) -> None:
        """No new sockets from now on, everybody elsewhere, then the end."""
        child.leaving = True
        self._tell_dispatcher()
        if child.ours is not None:
            passing.send(child.ours, Leave(reason, DRAIN_S))
        await self._kill_after(child, DRAIN_S + END_S)

    async def _kill_after(self, child: Child, patience_s: float) -> None:
        for _ in range(round(patience_s / STEP_S)):
            if not child.running:
                break
            await self._clock.sleep(STEP_S)
        if child.running:
            self.plan.log(f"{child.name} (pid {child.process.pid}) did not end by itself")
            child.process.kill()
            child.process.wait()

    async def _end_all(self) -> None:
        """Nobody new, goodbye to everybody, then pages and control, and what they all need last."""
        self._end("dispatcher")
        self.plan.listener.close()
        for child in self._of("worker"):
            if child.ours is not None:
                passing.send(child.ours, Leave("The server stops.", STOP_S, stop=True))
        await asyncio.gather(*(self._kill_after(child, STOP_S) for child in self._of("worker")))
        last: tuple[Kind, ...] = ("web", "control", "dispatcher", "redis")
        for kind in last:
            self._end(kind)
            await asyncio.gather(*(self._kill_after(child, END_S) for child in self._of(kind)))

    def _end(self, kind: Kind) -> None:
        for child in self._of(kind):
            child.leaving = True
            if child.running:
                child.process.terminate()

    def _background(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
