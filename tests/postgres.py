"""A private PostgreSQL for tests: a cluster in a temporary folder, on a free port of loopback."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.processes import die_with_parent, free_port, wait_until


def binaries() -> Path | None:
    """The folder with `initdb` and `postgres`: Debian keeps them off the PATH."""
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(Path(on_path).parent)
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


def owner() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: whom to run it as, for `subprocess`."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("postgres")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


class Postgres:
    """A running cluster. `database()` gives the URL of a fresh database."""

    def __init__(self) -> None:
        self.port = free_port()
        # Not below pytest's folders: those are closed to the account that PostgreSQL runs as.
        self._folder = Path(tempfile.mkdtemp(prefix="wedsync-postgres-"))
        self._data = self._folder / "data"
        self._numbers = itertools.count()
        found = binaries()
        assert found is not None
        self._bin = found

    def __enter__(self) -> Postgres:
        who = owner()
        if who:
            os.chown(self._folder, who["user"], who["group"])
        initdb = [self._bin / "initdb", "-D", self._data, "-A", "trust", "-U", "wedsync", "--no-sync", "-E", "UTF8"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=self._folder, **who)
        self.start()
        return self

    def start(self) -> None:
        """Run it on its folder, the first time or again."""
        self._log = (self._folder / "log").open("ab")
        command = [self._bin / "postgres", "-D", self._data, "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        self._process = subprocess.Popen(
            command, stdout=self._log, stderr=self._log, cwd=self._folder, preexec_fn=die_with_parent, **owner()
        )
        ready = [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL answers")

    def stop(self) -> None:
        """End it at once: open connections break, new ones are refused."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._log.close()

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"wedsync_{next(self._numbers)}"
        createdb = [self._bin / "createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "wedsync", name]
        subprocess.run(createdb, check=True, capture_output=True)
        return f"postgres://wedsync@127.0.0.1:{self.port}/{name}"
