"""Asking a running supervisor, from another process of the same user: `manage.py fleet`, `deploy`, the scaler."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

POINTER = "fleet.json"
"""In the folder of the installation: where the supervisor that runs can be asked."""


FOLDER = "wedsync-serve-"
"""The beginning of the name of a supervisor's folder."""


class NoFleet(Exception):
    """No fleet runs here; start one with manage.py serve."""


class Unavailable(Exception):
    """The pointer of this installation cannot be opened or locked."""


class Occupied(Unavailable):
    """A supervisor of this installation runs already."""


@contextmanager
def alone(var: Path) -> Iterator[None]:
    """Until it is left no other supervisor can have this installation. Raises Occupied with who has it, and
    Unavailable with the path and why.

    A lock on the pointer (flock(2)): the kernel lets go of it whatever ends its holder, one that was killed is in nobody's way.
    """
    try:
        var.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(var / POINTER, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unavailable(f"{error.filename} cannot be had: {error.strerror}") from None
    with os.fdopen(descriptor, encoding="utf-8") as pointer:
        try:
            fcntl.flock(pointer, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                who = f"process {json.load(pointer)['pid']}"
            except (ValueError, KeyError):
                who = "one that is starting"
            raise Occupied(
                f"a fleet of this installation runs already: {who} ({var}); end it first, or set WEDSYNC_VAR to another folder"
            ) from None
        except OSError as error:
            raise Unavailable(f"{var / POINTER} cannot be locked: {error.strerror}") from None
        yield


def write_pointer(var: Path, socket_path: Path) -> None:
    pointer = var / POINTER
    var.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(pointer, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump({"pid": os.getpid(), "socket": str(socket_path)}, file)


def clear_away(var: Path) -> None:
    """What a supervisor that was killed has left behind: the folder with its sockets, where nobody listens any more."""
    try:
        left = json.loads((var / POINTER).read_text(encoding="utf-8"))
        folder, gone = Path(left["socket"]).parent, not Path(f"/proc/{left['pid']}").exists()
    except (OSError, ValueError, KeyError):
        return
    if gone and folder.name.startswith(FOLDER):
        shutil.rmtree(folder, ignore_errors=True)


def clear_pointer(var: Path) -> None:
    """The file stays: another supervisor may hold it open to lock it."""
    with suppress(FileNotFoundError):
        os.truncate(var / POINTER, 0)


def ask(var: Path, request: dict[str, Any], timeout_s: float = 10.0) -> Iterator[dict[str, Any]]:
    """The answers of the supervisor, until it has said everything. Raises NoFleet, and TimeoutError when it falls silent."""
    try:
        path = json.loads((var / POINTER).read_text(encoding="utf-8"))["socket"]
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout_s)
        connection.connect(path)
    except (OSError, ValueError, KeyError) as error:
        raise NoFleet(f"no fleet of this installation runs ({var}); start one with: manage.py serve") from error
    with connection, connection.makefile("rw", encoding="utf-8") as lines:
        lines.write(json.dumps(request) + "\n")
        lines.flush()
        for line in lines:
            yield json.loads(line)


def uid_of(peer: socket.socket) -> int:
    """Who is at the other end of a UNIX socket (SO_PEERCRED, unix(7))."""
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[1])
