"""What the supervisor does when processes come and go: each slot is filled, and by one."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from realtime.clock import SystemClock
from realtime.fleet import processes, supervisor
from realtime.fleet.children import Child, Plan
from realtime.fleet.hung import HUNG_S
from realtime.fleet.passing import Known, Seen, Standing
from realtime.fleet.processes import take_turns
from realtime.fleet.supervisor import LOOK_S, Supervisor
from tests.fakes import ManualClock

PATIENCE_S = 10.0


def test_workers_are_as_usual_again_when_a_deploy_has_replaced_the_last_one(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        supervisor = Supervisor(Plan(cores, listener, {}, tmp_path, 1.0, 1.0), SystemClock())
        for number in range(cores + 1):
            process = stack.enter_context(subprocess.Popen(["sleep", "60"]))
            stack.callback(process.terminate)
            supervisor.children[f"w{number}.1"] = Child(f"w{number}.1", f"w{number}", "worker", process, 0.0)
        old, *others = supervisor.children.values()
        take_turns([child.process.pid for child in (old, *others)])
        old.leaving = True
        old.process.terminate()
        old.process.wait()
        supervisor._reap()
        assert {os.sched_getscheduler(child.process.pid) for child in others} == {os.SCHED_OTHER}


class Fleet:
    """A supervisor whose processes only sleep. `fate`: {(slot, its number): "dies" or "cannot be started"}."""

    def __init__(self, folder: Path, slots: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.supervisor = Supervisor(Plan(slots, self.listener, dict(os.environ), folder, 1.0, 1.0), SystemClock())
        self.supervisor._awake_s -= 7_200  # it has looked after them all this time
        self.fate: dict[tuple[str, int], str] = {}
        self.starts: Counter[str] = Counter()
        self._really = processes.start

    def start(self, command: Sequence[str], env: dict[str, str], *more: Any) -> subprocess.Popen[bytes]:
        slot = env["WEDSYNC_SLOT"]
        self.starts[slot] += 1
        fate = self.fate.get((slot, self.starts[slot]))
        if fate == "cannot be started":
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return self._really(["false"] if fate == "dies" else ["sleep", "60"], {})

    def ready(self, *names: str) -> None:
        self.supervisor.seen = Seen({name: Standing("ready", "") for name in names}, [*names, "web.1", "web.2", "web.3"])

    def up(self, slot: str = "") -> list[str]:
        children = self.supervisor.children.values()
        return sorted(c.name for c in children if c.kind == "worker" and not c.leaving and slot in ("", c.slot))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.01)

    async def settled(self) -> None:
        await self.until(lambda: not self.supervisor._due and not self.supervisor._tasks)


@pytest.fixture
async def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fleet]:
    for name in ("DRAIN_S", "END_S", "STOP_S"):
        monkeypatch.setattr(supervisor, name, 0.05)
    monkeypatch.setattr(supervisor, "READY_S", 1.0)
    made = Fleet(tmp_path, 2)
    monkeypatch.setattr(processes, "start", made.start)
    running = asyncio.create_task(made.supervisor.run())
    await made.until(lambda: made.up() == ["w1.1", "w2.1"])
    made.ready("w1.1", "w2.1")
    yield made
    made.supervisor.stopping.set()
    await running
    made.listener.close()


async def collected(steps: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [step async for step in steps]


async def deployed(fleet: Fleet) -> list[dict[str, Any]]:
    return await collected(fleet.supervisor.deploy("test"))


async def test_a_release_that_dies_at_its_start_is_not_put_into_service(fleet: Fleet) -> None:
    fleet.fate[("w1", 2)] = "dies"
    assert "the old one stays" in (await deployed(fleet))[-1]["error"]
    await fleet.settled()
    assert fleet.up() == ["w1.1", "w2.1"] and fleet.starts["w1"] == 2


async def test_when_the_old_one_dies_meanwhile_its_replacement_takes_its_place(fleet: Fleet) -> None:
    deploying = asyncio.create_task(deployed(fleet))
    await fleet.until(lambda: fleet.starts["w1"] == 2)
    fleet.supervisor.children["w1.1"].process.kill()
    await fleet.until(lambda: "w1.1" not in fleet.supervisor.children)
    fleet.ready("w1.2", "w2.1", "w2.2")
    assert (await deploying)[-1] == {"done": True}
    await fleet.settled()
    assert fleet.up() == ["w1.2", "w2.2"]


async def test_when_both_die_the_slot_is_filled_all_the_same(fleet: Fleet) -> None:
    deploying = asyncio.create_task(deployed(fleet))
    await fleet.until(lambda: fleet.starts["w1"] == 2)
    fleet.supervisor.children["w1.1"].process.kill()
    assert "the old one stays" in (await deploying)[-1]["error"]  # it was not ready in time
    await fleet.settled()
    assert len(fleet.up("w1")) == 1


async def test_one_that_cannot_be_started_is_tried_again(fleet: Fleet) -> None:
    fleet.fate[("w2", 2)] = "cannot be started"
    fleet.supervisor.children["w2.1"].process.kill()
    await fleet.until(lambda: fleet.starts["w2"] == 3)
    assert fleet.up() == ["w1.1", "w2.3"]


async def test_scaled_down_and_up_while_it_waits_for_its_next_try_a_slot_has_one_process(fleet: Fleet) -> None:
    fleet.fate |= {("w2", 2): "dies", ("w2", 3): "dies"}
    fleet.supervisor.children["w2.1"].process.kill()
    await fleet.until(lambda: fleet.starts["w2"] == 3 and not fleet.up("w2"))
    for slots in (1, 2):
        assert [step async for step in fleet.supervisor.scale(slots, "test")][-1]["workers"] == slots
    await fleet.settled()
    assert len(fleet.up("w2")) == 1


async def test_what_was_asked_for_is_done_when_who_asked_has_gone(fleet: Fleet) -> None:
    fleet.fate[("w3", 1)] = "cannot be started"
    async for _ in fleet.supervisor.scale(5, "test"):
        break
    await fleet.until(lambda: len({name[:2] for name in fleet.up()}) == 5)
    await fleet.settled()
    assert fleet.supervisor.plan.slots == len(fleet.up()) == 5


async def test_a_web_process_that_hangs_and_a_worker_that_never_speaks_are_replaced(fleet: Fleet) -> None:
    children = fleet.supervisor.children
    os.kill(children["web.1"].process.pid, signal.SIGSTOP)
    for name in ("w2.1", "dispatcher.1"):
        children[name].started_s -= 2 * HUNG_S + 10
    workers = {"w1.1": Standing("ready", ""), "w2.1": Standing("starting", "not heard of yet")}
    fleet.supervisor.seen = Seen(workers, ["w1.1", "web.1"], web_silent_s=HUNG_S + 1)
    fleet.supervisor._end_the_hung()
    await fleet.until(lambda: {"w1.1", "w2.2", "web.2"} <= children.keys())
    assert "web.1" not in children and "w2.1" not in children


async def test_a_web_process_that_is_replaced_may_finish_however_long_the_fleet_runs(fleet: Fleet) -> None:
    """18 of 77 requests ended without an answer: it was killed for being silent, since nobody asked it any more."""
    children, told = fleet.supervisor.children, list[Known]()
    for child in children.values():
        child.started_s -= 3_600
    fleet.supervisor.seen = Seen({name: Standing("ready", "") for name in ("w1.1", "w2.1")}, ["w1.1", "w2.1", "web.1"])

    def send(end: Any, message: Any, fds: Sequence[int] = ()) -> bool:
        told.extend([message] if isinstance(message, Known) else [])
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor.passing, "send", send)
        replacing = asyncio.create_task(fleet.supervisor._replace(children["web.1"], "test"))
        await fleet.until(lambda: "web.2" in children)
        fleet.supervisor._tell_dispatcher()
        assert (told[-1].webs, told[-1].stopping) == (["web.1", "web.2"], [])
        fleet.supervisor._end_the_hung()
        assert children["web.1"].running, "while the new one starts"
        fleet.ready("w1.1", "w2.1")
        fleet.supervisor.seen.heard.remove("web.1")
        await fleet.until(lambda: children["web.1"].leaving)
        assert (told[-1].webs, told[-1].stopping) == (["web.1", "web.2"], ["web.1"])
        fleet.supervisor._end_the_hung()
        assert children["web.1"].running, "it has what it was given until then"
        replacing.cancel()


async def test_a_dispatcher_that_hangs_is_replaced(fleet: Fleet) -> None:
    """For as long as it was stopped nobody came in, and nobody said why."""
    children = fleet.supervisor.children
    os.kill(children["dispatcher.1"].process.pid, signal.SIGSTOP)
    for child in children.values():
        child.started_s -= 3_600
    fleet.supervisor.seen = Seen({name: Standing("ready", "") for name in ("w1.1", "w2.1")}, ["w1.1", "w2.1", "web.1"])
    fleet.supervisor._heard_s -= HUNG_S + 1
    fleet.supervisor._end_the_hung()
    await fleet.until(lambda: "dispatcher.2" in children)
    assert {"w1.1", "w2.1", "web.1"} <= children.keys() and "dispatcher.1" not in children


async def test_who_has_stood_still_knows_of_nobody_how_long_they_have_said_nothing() -> None:
    clock, kept = ManualClock(), list[float]()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        watching = Supervisor(Plan(1, listener, {}, Path(), 1.0, 1.0), clock)
    watching._end_the_hung = lambda: kept.append(clock.monotonic() - watching._awake_s)  # type: ignore[method-assign]
    looking = asyncio.create_task(watching._looking())
    for seconds in (*[LOOK_S] * 40, 3_600.0, LOOK_S):
        await asyncio.sleep(0)
        clock.advance(seconds)
        await asyncio.sleep(0)
    looking.cancel()
    assert kept == [*range(1, 41), 0.0, LOOK_S]


async def test_a_deploy_goes_on_to_its_end_when_who_asked_has_gone_and_is_one(fleet: Fleet) -> None:
    fleet.ready("w1.2", "w2.2")
    async for _ in fleet.supervisor.deploy("test"):
        break
    (again,) = [step async for step in fleet.supervisor.deploy("test")]
    assert not again["done"] and "under way" in again["error"]
    await fleet.until(lambda: fleet.up() == ["w1.2", "w2.2"])


async def test_a_deploy_that_a_stop_breaks_off_is_not_called_done(fleet: Fleet) -> None:
    fleet.ready("w1.2", "w2.2")
    said = []
    async for step in fleet.supervisor.deploy("test"):
        said.append(step)
        fleet.supervisor.stopping.set()
    assert said[-1] == {"done": False, "error": "the server stops"}


async def test_a_new_dispatcher_has_heard_of_nobody_yet_and_nobody_is_killed_for_it(fleet: Fleet) -> None:
    children = fleet.supervisor.children
    for name in ("w1.1", "w2.1", "web.1"):
        children[name].started_s -= 3_600
    fleet.supervisor.seen = Seen({name: Standing("starting", "not heard of yet") for name in ("w1.1", "w2.1")})
    fleet.supervisor._end_the_hung()
    assert all(children[name].running for name in ("w1.1", "w2.1", "web.1"))


@pytest.mark.parametrize("leaving_for", ["fewer", "a deploy"])
async def test_while_people_leave_one_worker_others_can_be_started(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, leaving_for: str
) -> None:
    monkeypatch.setattr(supervisor, "DRAIN_S", PATIENCE_S)
    fleet.ready("w1.1", "w2.1", "w1.2", "w3.1")
    last = fleet.supervisor.children["w1.1" if leaving_for == "a deploy" else "w2.1"]
    going = deployed(fleet) if leaving_for == "a deploy" else collected(fleet.supervisor.scale(1, "few are here"))
    leaving = asyncio.create_task(going)
    await fleet.until(lambda: last.leaving)
    fleet.ready("w1.1", "w1.2", "w2.1", "w2.2", "w3.1")
    steps = [step async for step in fleet.supervisor.scale(3, "people come")]
    assert steps[-1] == {"done": True, "workers": 3} and last.running and not leaving.done()
    assert {name[:2] for name in fleet.up()} == {"w1", "w2", "w3"}
    monkeypatch.setattr(supervisor, "DRAIN_S", 0.05)
    last.process.kill()
    await leaving


async def test_a_worker_that_is_wanted_again_before_its_turn_to_leave_stays(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.ready("w1.1", "w2.1", "w3.1", "w3.2")
    await collected(fleet.supervisor.scale(3, "people come"))
    monkeypatch.setattr(supervisor, "DRAIN_S", PATIENCE_S)
    leaving = asyncio.create_task(collected(fleet.supervisor.scale(1, "few are here")))
    await fleet.until(lambda: fleet.supervisor.children["w3.1"].leaving)
    await collected(fleet.supervisor.scale(3, "people come"))
    fleet.supervisor.children["w3.1"].process.kill()
    await leaving
    assert fleet.up() == ["w1.1", "w2.1", "w3.2"]


async def test_those_that_are_too_many_leave_one_after_the_other_however_often_it_is_asked(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.ready("w1.1", "w2.1", "w3.1")
    await collected(fleet.supervisor.scale(3, "people come"))
    monkeypatch.setattr(supervisor, "DRAIN_S", PATIENCE_S)
    children = fleet.supervisor.children
    leaving = asyncio.create_task(collected(fleet.supervisor.scale(1, "few are here")))
    await fleet.until(lambda: children["w3.1"].leaving)
    assert (await collected(fleet.supervisor.scale(1, "few are here")))[-1]["done"]
    assert not children["w2.1"].leaving
    children["w3.1"].process.kill()
    await fleet.until(lambda: children["w2.1"].leaving)
    children["w2.1"].process.kill()
    await leaving
    assert fleet.up() == ["w1.1"]


async def test_a_deploy_stops_at_a_new_worker_that_nobody_can_be_sent_to(fleet: Fleet) -> None:
    fleet.supervisor.seen = Seen({"w1.2": Standing("lame", "31 open files left")}, ["w1.1", "w1.2"])
    assert "the old one stays" in (await deployed(fleet))[-1]["error"]
    assert fleet.up() == ["w1.1", "w2.1"]
