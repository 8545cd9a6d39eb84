"""A private PostgreSQL: a cluster in a temporary folder on a free port of loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.machine import CannotMeasure, cores, free_port, running


def _binaries() -> Path:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # Debian keeps them off the PATH
    folders += [Path(found).parent for found in [shutil.which("initdb")] if found]
    for folder in folders:
        if (folder / "postgres").exists():
            return folder
    raise CannotMeasure("PostgreSQL is not installed: apt-get install postgresql")


@contextmanager
def fresh_database() -> Iterator[str]:
    """The URL of an empty database."""
    bin_folder, port = _binaries(), free_port()
    who: dict[str, Any] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        account = pwd.getpwnam("postgres")
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="wedsync-bench-postgres-"))
    try:
        if who:
            os.chown(folder, who["user"], who["group"])
        initdb = [str(bin_folder / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "wedsync", "-E", "UTF8"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **who)
        command = [str(bin_folder / "postgres"), "-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
        with running(command, cores()[0], folder / "log", port=port, cwd=folder, **who):
            yield f"postgres://wedsync@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder)
