"""Real processes for acceptance tests: started on free ports, ended by pid, their logs kept for the report of a failure."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from random import SystemRandom
from secrets import token_hex
from typing import Any

from django.test import override_settings

from realtime.access import issue_ticket
from realtime.clock import SystemClock
from realtime.fleet import remote
from realtime.messages import Sender

ROOT = Path(__file__).parent.parent
LOGINS = "demo.json"
ELSEWHERE = {"DATABASE_URL", "HISTORY_DATABASE_URL", "WEDSYNC_REHEARSAL"}
"""Where one of these is set, databases are made for a test alone."""
TODAY_S = 1_800
"""At a venue midnight is on a half hour of UTC."""
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_parent() -> None:
    """In the child: be killed when the tests are, whatever ends them."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """A port of loopback that is free now, and that the kernel gives to nobody.

    A server that is killed needs its port again: an ephemeral one its own clients, which keep trying, might have by then.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    for _ in range(100):
        port = SystemRandom().randrange(10_100, low)  # 10080 is one of those that browsers refuse
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Ask until it is so. Raises AssertionError naming `what` after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"after {timeout_s:.0f} s it is still not so that {what}"
        time.sleep(0.02)


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


SERVER = os.environ.get("WEDSYNC_TEST_SERVER", "daphne")
"""Which server the acceptance tests that are not about one run on: daphne or uvicorn."""


class Processes:
    """All processes of one test and the settings they share."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.env = {
            "SECRET_KEY": "of these tests",
            "WEDSYNC_VAR": str(folder / "var"),
            "WEDSYNC_LOAD_TESTING": "1",
            "PYTHONUNBUFFERED": "1",
        } | env
        self._running: list[subprocess.Popen[bytes]] = []
        self._logs = 0

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(20)
        for log in sorted(self.folder.glob("*.log")):
            text = log.read_text(errors="replace")
            print(f"--- {log.name} ---\n{text[-4000:]}")  # noqa: T201 - pytest shows it when the test fails

    def start(self, *command: str, name: str = "", **env: str) -> subprocess.Popen[bytes]:
        """Start a program with the settings of this test."""
        self._logs += 1
        log = (self.folder / f"{self._logs}-{name or Path(command[0]).name}.log").open("wb")
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=ROOT, env=os.environ | self.env | env, preexec_fn=die_with_parent
        )
        log.close()
        self._running.append(process)
        return process

    def manage(self, *args: str, **env: str) -> str:
        """Run a command of manage.py to its end and give what it printed. Raises when it fails."""
        done = self._run(args, env)
        assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def managed(self, *args: str, **env: str) -> tuple[int, str]:
        """The same for one that may fail: (exit status, what it printed)."""
        done = self._run(args, env)
        print(done.stderr)  # noqa: T201 - pytest shows it when the test fails
        return done.returncode, done.stdout

    def _run(self, args: Sequence[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *args]
        return subprocess.run(command, cwd=ROOT, env=os.environ | self.env | env, capture_output=True, text=True, timeout=120)

    def server(self, port: int | None = None, *, asgi: str = SERVER, wait: bool = True, **env: str) -> Server:
        """A real server of the application, answering `/readyz`."""
        port = port or free_port()
        command = {
            "daphne": ["-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "wedsync.asgi:application"],
            "uvicorn": ["-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port), "wedsync.asgi:application"],
        }[asgi]
        server = Server(self.start(sys.executable, *command, name=asgi, **env), port)
        if wait:
            server.wait()
        return server

    def fleet(self, workers: int = 2, **env: str) -> FleetServer:
        """`manage.py serve`, answering `/readyz`."""
        port = free_port()
        command = ["manage.py", "serve", "--workers", str(workers), "--port", str(port)]
        server = FleetServer(self.start(sys.executable, *command, name="serve", **env), port, self)
        server.wait()
        wait_until(lambda: all(row["state"] == "ready" for row in server.workers()), "all workers are ready")
        return server

    def migrate(self) -> None:
        """Both databases, side by side; where they are files of this test, as they were made for an earlier one."""
        if not self._copied(_migrated):
            _migrated(self)

    def demo(self) -> dict[str, Any]:
        """Migrate and create the demo weddings; gives their logins."""
        if not self._copied(_with_demo):
            _with_demo(self)
        logins: dict[str, Any] = json.loads((self.var / LOGINS).read_text())
        return logins

    @property
    def var(self) -> Path:
        """Where the servers of this test keep what they keep."""
        return Path(self.env["WEDSYNC_VAR"])

    def _copied(self, make: Callable[[Processes], None]) -> bool:
        """Whether the files that `make` leaves could be copied: no other database is asked for, and none is there yet."""
        if ELSEWHERE & (self.env.keys() | os.environ.keys()) or any(self.var.glob("*.sqlite3")):
            return False
        shutil.copytree(_made(make, self.env["SECRET_KEY"], int(time.time() // TODAY_S)), self.var, dirs_exist_ok=True)
        return True

    def ticket(self, wedding: str, role: str, *, count: int = 1) -> list[str]:
        """Reusable tickets, as `manage.py tickets` prints them."""
        now = SystemClock().now()
        with override_settings(SECRET_KEY=self.env["SECRET_KEY"]):
            return [
                issue_ticket(wedding, Sender(f"t{token_hex(6)}", role, f"{role} {n + 1}"), now=now, ttl_s=3_600, reusable=True)
                for n in range(count)
            ]


def _migrated(processes: Processes) -> None:
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda name: processes.manage("migrate", "-v0", "--database", name), ("default", "history")))


def _with_demo(processes: Processes) -> None:
    processes.migrate()
    (processes.var / LOGINS).write_text(processes.manage("demo", "--json"))


@cache
def _folders() -> tempfile.TemporaryDirectory[str]:
    """Kept until the tests end."""
    return tempfile.TemporaryDirectory(prefix="wedsync-tests-")


@cache
def _made(make: Callable[[Processes], None], secret_key: str, today: int) -> Path:  # noqa: ARG001 - the demo is of today
    """Made once, for everybody: a folder with what a server keeps."""
    folder = Path(_folders().name) / token_hex(4)
    folder.mkdir()
    with Processes(folder, SECRET_KEY=secret_key) as processes:
        make(processes)
    return processes.var


class Server:
    """One running server."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def wait(self) -> None:
        wait_until(lambda: self.process.poll() is not None or answers(f"{self.url}/readyz"), "the server is ready")
        assert self.process.poll() is None, "the server ended by itself"

    def kill(self) -> None:
        """SIGKILL: no chance to say goodbye."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.process.terminate()
        self.process.wait(20)


class FleetServer(Server):
    """A running supervisor."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, processes: Processes) -> None:
        super().__init__(process, port)
        self._processes = processes

    def fleet(self) -> dict[str, Any]:
        """What `manage.py fleet --json` prints."""
        return next(remote.ask(self._processes.var, {"do": "fleet"}))

    def workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.fleet()["workers"]
        return found

    def pids(self) -> list[int]:
        """Every process the supervisor has started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in children.split()]


def start_redis(processes: Processes, port: int | None = None) -> str:
    """A private Redis without persistence; gives its URL."""
    port = port or free_port()
    processes.start(
        "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", name="redis"
    )

    def reachable() -> bool:
        with socket.socket() as client:
            client.settimeout(1)
            return client.connect_ex(("127.0.0.1", port)) == 0

    wait_until(reachable, "Redis answers")
    return f"redis://127.0.0.1:{port}/0"
