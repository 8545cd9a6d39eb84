"""Processes of the benchmark: the server on one core, the load on the other; each ended by its pid."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from realtime.clock import SystemClock
from realtime.fleet import processes

ROOT = Path(__file__).parent.parent
CACHE = Path(os.environ.get("WEDSYNC_BENCH_CACHE", ROOT / "var/bench"))
"""What is built or installed once: the load generator and packages of the peers."""
READY_S = 60.0
STOP_S = 10.0
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_clock = SystemClock()


class CannotMeasure(Exception):
    """The machine lacks something; the message says what, and how to get it."""


def cores() -> tuple[int, int]:
    """(core of the server, core of the load). The same one twice where there is only one: the figures then say little."""
    usable = sorted(os.sched_getaffinity(os.getppid()) | os.sched_getaffinity(0))
    return usable[0], usable[-1]


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process on a core. Threads and children it starts later inherit it."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), {core})


@contextlib.contextmanager
def unpinned() -> Iterator[None]:
    """What is started meanwhile may run on any core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before | os.sched_getaffinity(os.getppid()))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def compiled(sources: Sequence[Path], name: str, *libraries: str) -> Path:
    """A C program, compiled when its sources are newer. Raises CannotMeasure without a compiler or when it fails."""
    program = CACHE / name
    newest = max(path.stat().st_mtime for path in sources)
    if program.exists() and program.stat().st_mtime > newest:
        return program
    CACHE.mkdir(parents=True, exist_ok=True)
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    partial = program.with_suffix(f".{os.getpid()}")
    command = [compiler, "-O2", "-std=gnu11", "-Wall", "-o", str(partial), *(str(s) for s in sources if s.suffix == ".c")]
    try:
        done = subprocess.run([*command, *libraries], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CannotMeasure(f"{compiler} is needed to build {name}: apt-get install gcc libc6-dev zlib1g-dev") from None
    if done.returncode:
        raise CannotMeasure(f"{name} does not compile (apt-get install libc6-dev zlib1g-dev?):\n{done.stderr[-2_000:]}")
    partial.rename(program)
    return program


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def running(
    command: Sequence[str], core: int, log: Path, *, port: int, env: dict[str, str] | None = None, **popen: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A program on a core, once its port accepts connections. `popen`: more for `subprocess.Popen`.

    Raises CannotMeasure with the end of its log.
    """

    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, {core})

    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            **{"cwd": ROOT, **popen},
            env=os.environ | (env or {}),
            stdout=output,
            stderr=output,
            preexec_fn=prepare,
        )
    try:
        wait_until(lambda: process.poll() is not None or listening(port))
        if process.poll() is not None or not listening(port):
            raise CannotMeasure(f"{Path(command[0]).name} did not start: {log.read_text(errors='replace')[-1_000:]}")
        yield process
    finally:
        processes.end(process, STOP_S)


def wait_until(condition: Callable[[], bool]) -> None:
    """Ask until it is so, or `READY_S` are over."""
    until_s = _clock.monotonic() + READY_S
    while not condition() and _clock.monotonic() < until_s:
        signal.sigtimedwait([], 0.05)
