"""A private PostgreSQL: a cluster in a temporary folder, on a free port of loopback, that may be stopped and started again."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from realtime.drills.owner import tag
from realtime.drills.server import FOLDER, DrillFailed, free_port
from realtime.fleet import processes

OWN = "own"
"""Asks for one instead of a URL."""
CONNECTIONS_MAX = 300
"""Seven for each worker: four that read, one that writes, two for what Django's views and threads ask."""
READY_S = 30
STOP_S = 20


def binaries() -> Path | None:
    """The folder with `initdb` and `postgres`: Debian keeps them off the PATH."""
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    if on_path := shutil.which("initdb"):
        folders.append(Path(on_path).parent)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


def owner() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: whom to run it as, for `subprocess`."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("postgres")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


class Postgres:
    """A running cluster. `database()` gives the URL of a fresh database. Everything here blocks; raises DrillFailed."""

    def __init__(self) -> None:
        found = binaries()
        if found is None:
            raise DrillFailed("there is no PostgreSQL here: apt-get install postgresql")
        self.port = free_port()
        self._bin = found
        self._folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{tag()}-postgres-"))
        self._data = self._folder / "data"
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        who = owner()
        if who:
            os.chown(self._folder, who["user"], who["group"])
        initdb = ["-D", str(self._data), "-A", "trust", "-U", "wedsync", "--no-sync", "-E", "UTF8"]
        try:
            subprocess.run([str(self._bin / "initdb"), *initdb], check=True, capture_output=True, cwd=self._folder, **who)
            self.start()
        except subprocess.CalledProcessError as error:
            self.__exit__()
            raise DrillFailed(
                f"PostgreSQL cannot be set up: {error.stderr.decode(errors='replace').strip()[-1_000:]}"
            ) from None
        except DrillFailed:
            self.__exit__()
            raise
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Run it on its folder, the first time or again."""
        place = ["-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        place += ["-c", f"max_connections={CONNECTIONS_MAX}"]
        with (self._folder / "log").open("ab") as log:
            self._process = processes.start(
                [str(self._bin / "postgres"), *place], dict(os.environ), cwd=self._folder, output=log, **owner()
            )
        ready = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        for _ in range(READY_S * 20):
            if subprocess.run(ready, check=False).returncode == 0:
                return
            if self._process.poll() is not None:
                break
            with_patience(self._process, 0.05)
        raise DrillFailed(f"PostgreSQL does not answer: {(self._folder / 'log').read_text(errors='replace')[-1_000:]}")

    def stop(self) -> None:
        """End it at once: open connections break, new ones are refused."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            if not with_patience(self._process, STOP_S):
                self._process.kill()
                self._process.wait()
            self._process = None

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"wedsync_{next(self._numbers)}"
        createdb = [str(self._bin / "createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "wedsync", name]
        subprocess.run(createdb, check=True, capture_output=True)
        return f"postgres://wedsync@127.0.0.1:{self.port}/{name}"


@contextmanager
def database(url: str) -> Iterator[str]:
    """The URL itself, or that of a PostgreSQL of the drill's own for "own"."""
    if url != OWN:
        yield url
        return
    with Postgres() as found:
        yield found.database()


def with_patience(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether it has ended within so long."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
