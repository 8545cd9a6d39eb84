"""A server of the drill's own: temporary database, free port, gone afterwards in every case."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.error import URLError

from django.apps import apps
from django.conf import settings
from django.db import transaction
from msgspec import Struct

from realtime.clock import Clock
from realtime.drills.owner import tag
from realtime.fleet import processes

READY_S = 60.0
STOP_S = 25.0
"""A fleet gives its members 15 s."""
LOG_TAIL = 15
NAMES = "A & B"
FOLDER = "wedsync-drill-"
_RAISED = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Configured): ")
OF_THE_INSTALLATION = ("DATABASE_URL", "HISTORY_DATABASE_URL", "REDIS_URL")
"""What a fleet of the drill's own must not touch."""


class DrillFailed(Exception):
    """The drill could not be carried out; this is no verdict on the server."""


class Running(Struct, frozen=True):
    """A server that answers. `url`: http://host:port without a slash at the end."""

    url: str
    pid: int
    log: str
    var: str = ""
    """The folder of this installation: where a fleet can be asked; "": it is not on this machine."""
    redis: str = ""
    """Of a fleet that runs already: where its workers report."""
    env: dict[str, str] = {}
    """Of its processes, to start others beside it."""


def seed(rooms: Sequence[str], now: datetime) -> None:
    """Make synthetic weddings of these names where they are missing, with a cue and a flexible item each."""
    wedding_model, item_model = apps.get_model("weddings", "Wedding"), apps.get_model("weddings", "RunSheetItem")
    start = now + timedelta(hours=1)
    known = set(wedding_model.objects.filter(slug__in=rooms).values_list("slug", flat=True))
    with transaction.atomic():
        for slug in rooms:
            if slug in known:
                continue
            wedding = wedding_model(slug=slug, names=NAMES, venue="Drill", timezone="UTC", ceremony_at=start, demo=True)
            wedding.save()
            items = [("Doors", "cue", "crew"), ("Dinner", "flex", "everyone")]
            item_model.objects.bulk_create(
                item_model(wedding=wedding, title=title, start=start, minutes=30, kind=kind, visibility=visibility)
                for title, kind, visibility in items
            )


@asynccontextmanager
async def own_server(
    rooms: Sequence[str], clock: Clock, *, database_url: str = "", env: dict[str, str] | None = None, workers: int = 0
) -> AsyncIterator[Running]:
    """Migrate, seed, start Daphne or a fleet of so many workers, wait until it is ready; end it by its pid.

    Raises DrillFailed with the end of its log.
    """
    with _folder() as var:
        child = {name: value for name, value in os.environ.items() if name not in OF_THE_INSTALLATION}
        # What a fleet puts into the folder for temporary files is gone with ours, too.
        child |= {"WEDSYNC_VAR": var, "TMPDIR": var, "SECRET_KEY": settings.SECRET_KEY}
        child |= {"WEDSYNC_LOAD_TESTING": "1", "PYTHONUNBUFFERED": "1"}
        child |= {"DATABASE_URL": database_url} if database_url else {}
        child |= env or {}
        await asyncio.gather(*(asyncio.to_thread(_migrate, child, database) for database in ("default", "history")))
        await asyncio.to_thread(manage, child, "drill", "seed", stdin=json.dumps(list(rooms)))
        port, log = free_port(), Path(var) / "server.log"
        process = _start(child, port, log, workers)
        try:
            url = f"http://127.0.0.1:{port}"
            await _until_ready(process, url, log, clock)
            yield Running(url, process.pid, str(log), var, env=child)
        finally:
            await asyncio.to_thread(processes.end, process, STOP_S)


def _migrate(env: dict[str, str], database: str) -> None:
    manage(env, "migrate", "--verbosity", "0", "--database", database)


@contextmanager
def _folder() -> Iterator[str]:
    """Of this drill's server, with its owner's name in it. Raises DrillFailed when there is no room for it."""
    try:
        folder = tempfile.TemporaryDirectory(prefix=f"{FOLDER}{tag()}-", ignore_cleanup_errors=True)
    except OSError as error:
        raise DrillFailed(f"there is no place for its files: {error.strerror}") from None
    with folder as name:
        yield name


def manage(env: dict[str, str], *arguments: str, stdin: str = "") -> None:
    """Run a command of manage.py to its end. Raises DrillFailed with what it said."""
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=env, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DrillFailed(f"manage.py {arguments[0]} failed: {_error_of(done.stderr or done.stdout)}")


def daphne(port: int) -> list[str]:
    """The command of one process without a fleet."""
    return [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "wedsync.asgi:application"]


def _start(env: dict[str, str], port: int, log: Path, workers: int) -> subprocess.Popen[bytes]:
    command = daphne(port)
    if workers:
        command = [sys.executable, "manage.py", "serve", "--workers", str(workers), "--port", str(port)]
    try:
        with log.open("wb") as output:
            # A session of its own: Ctrl-C is for the drill, which ends its server in order.
            return processes.start(command, env, cwd=settings.BASE_DIR, output=output)
    except OSError as error:
        raise DrillFailed(f"the server cannot be started: {error}") from None


async def _until_ready(process: subprocess.Popen[bytes], url: str, log: Path, clock: Clock) -> None:
    until_s = clock.monotonic() + READY_S
    while clock.monotonic() < until_s:
        if process.poll() is not None:
            raise DrillFailed(f"the server ended with code {process.returncode}: {_end_of(log)}")
        if await asyncio.to_thread(_ready, url):
            return
        await clock.sleep(0.1)
    raise DrillFailed(f"the server was not ready after {READY_S:g} s: {_end_of(log)}")


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end_of(log: Path) -> str:
    return _tail(log.read_text(errors="replace"))


def _error_of(said: str) -> str:
    """The sentence of the error, without the way to it."""
    return next((line for line in reversed(said.splitlines()) if _RAISED.match(line)), _tail(said))


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-LOG_TAIL:]) or "it said nothing"
