"""What the supervisor does when the number of its workers changes."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

from realtime.clock import SystemClock
from realtime.fleet.processes import take_turns
from realtime.fleet.supervisor import Child, Plan, Supervisor


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
