"""Network namespaces for `drill mobile`: a phone's own network interface, whose link goes down and whose address changes.

Each is one namespace and one pair of virtual interfaces, which ends with it. The name tells whose it is, so that the next run
finds what a killed one has left (`realtime.drills.leftovers`). Needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN) and iproute2; all of
it blocks.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from realtime.drills.owner import tag
from realtime.drills.server import FOLDER, DrillFailed

CLONE_NEWNET = 0x40000000
RUN = Path("/run/netns")
_libc = ctypes.CDLL(None, use_errno=True)


def run(*command: str) -> str:
    """What a command of iproute2 printed. Raises DrillFailed with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DrillFailed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Namespace:
    """One network of its own: the host is 10.213.K.1, the phones are 10.213.K.2, later 10.213.K.3."""

    def __init__(self, number: int) -> None:
        self.name = f"{FOLDER}{tag()}-{number}"
        self.host = f"10.213.{number}.1"
        self._outside, self._inside = f"wsd{os.getpid()}v{number}", "phone0"
        self._address = f"10.213.{number}.2/24"
        self._next = f"10.213.{number}.3/24"

    def __enter__(self) -> Self:
        try:
            run("ip", "netns", "add", self.name)
            run("ip", "link", "add", self._outside, "type", "veth", "peer", "name", self._inside, "netns", self.name)
            run("ip", "addr", "add", f"{self.host}/24", "dev", self._outside)
            run("ip", "link", "set", self._outside, "up")
            self._in("ip", "addr", "add", self._address, "dev", self._inside)
            self._in("ip", "link", "set", self._inside, "up")
        except DrillFailed:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(DrillFailed):
            run("ip", "link", "del", self._outside)
        with contextlib.suppress(DrillFailed):
            run("ip", "netns", "del", self.name)

    def _in(self, *command: str) -> None:
        run("ip", "netns", "exec", self.name, *command)

    def shape(self, qdisc: Sequence[str]) -> None:
        """Delay and lose packets both ways (`tc`)."""
        run("tc", "qdisc", "replace", "dev", self._outside, "root", *qdisc)
        self._in("tc", "qdisc", "replace", "dev", self._inside, "root", *qdisc)

    def link(self, *, up: bool) -> None:
        """The phones are out of reach, or back."""
        run("ip", "link", "set", self._outside, "up" if up else "down")

    def move(self) -> None:
        """The phones get another address; connections from the old one hear nothing any more."""
        self._in("ip", "addr", "del", self._address, "dev", self._inside)
        self._in("ip", "addr", "add", self._next, "dev", self._inside)
        self._address, self._next = self._next, self._address

    def socket(self) -> socket.socket:
        """A TCP socket inside. A thread enters the namespace for it and ends, since each thread has its own."""
        made: list[socket.socket] = []

        def enter() -> None:
            with (RUN / self.name).open("rb") as namespace:
                if _libc.setns(namespace.fileno(), CLONE_NEWNET) == 0:
                    made.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))

        thread = threading.Thread(target=enter, name=self.name)
        thread.start()
        thread.join()
        if not made:
            raise DrillFailed(f"the namespace {self.name} cannot be entered")
        made[0].setblocking(False)
        return made[0]


def permitted() -> bool:
    """Whether namespaces can be made here; leaves nothing behind."""
    return _tried(None)


def netem_permitted() -> bool:
    """Whether the kernel can delay and lose packets (the module sch_netem)."""
    return _tried(["netem", "delay", "1ms"])


def _tried(qdisc: Sequence[str] | None) -> bool:
    if os.geteuid() != 0 or shutil.which("ip") is None or (qdisc and shutil.which("tc") is None):
        return False
    try:
        with Namespace(99) as namespace:
            if qdisc is not None:
                namespace.shape(qdisc)
    except DrillFailed:
        return False
    return True
