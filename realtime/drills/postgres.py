"""A PostgreSQL of a drill's own: a cluster in a temporary folder on a free port of loopback, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from realtime.drills.server import DrillFailed, free_port
from realtime.fleet import processes

OWN = "own"
"""Asks for one instead of a URL."""
STOP_S = 20.0
CONNECTIONS_MAX = 300
"""Seven for each worker: four that read, one that writes, two for what Django's views and threads ask."""


class Postgres(Struct, frozen=True):
    """One that answers. `url`: of an empty database."""

    url: str
    pid: int


def binaries() -> Path | None:
    """The folder with `initdb` and `postgres`; Debian keeps them off the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders += [Path(found).parent for found in [shutil.which("initdb")] if found]
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@contextmanager
def own_postgres() -> Iterator[Postgres]:
    """Raises DrillFailed when it is not installed or does not start."""
    found = binaries()
    if found is None:
        raise DrillFailed("PostgreSQL is not installed: apt-get install postgresql")
    who: dict[str, Any] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        account = pwd.getpwnam("postgres")
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    folder, port = Path(tempfile.mkdtemp(prefix="wedsync-postgres-")), free_port()
    try:
        if who:
            os.chown(folder, who["user"], who["group"])
        initdb = [str(found / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "wedsync", "-E", "UTF8"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **who)
        place = ["-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
        command = [str(found / "postgres"), *place, "-c", f"max_connections={CONNECTIONS_MAX}"]
        with (folder / "log").open("wb") as log:
            process = processes.start(command, dict(os.environ), cwd=folder, stdout=log, stderr=log, **who)
        try:
            _until_ready([str(found / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)], folder / "log")
            yield Postgres(f"postgres://wedsync@127.0.0.1:{port}/postgres", process.pid)
        finally:
            process.send_signal(signal.SIGINT)  # at once: connections that are left are cut
            process.wait(STOP_S)
    finally:
        shutil.rmtree(folder)


@contextmanager
def database(url: str) -> Iterator[str]:
    """The URL itself, or that of a PostgreSQL of the drill's own for "own"."""
    if url != OWN:
        yield url
        return
    with own_postgres() as found:
        yield found.url


def _until_ready(question: list[str], log: Path) -> None:
    for _ in range(200):
        if subprocess.run(question, check=False).returncode == 0:
            return
        signal.sigtimedwait([], 0.1)
    raise DrillFailed(f"PostgreSQL did not start: {log.read_text(errors='replace')[-1_000:]}")
