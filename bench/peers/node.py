"""Servers on Node: ws, and Socket.IO over its WebSocket transport. Packages are installed once, outside of the sources."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import CACHE, CannotMeasure, free_port, running
from bench.target import Speech, Target

SOURCES = Path(__file__).parent / "node"
INSTALL_S = 300


def missing() -> str:
    """What to install."""
    return "" if shutil.which("node") and shutil.which("npm") else "Node.js 18 or newer with npm: apt-get install nodejs npm"


def installed() -> Path:
    """The folder with the packages that package-lock.json pins. Raises CannotMeasure."""
    if hint := missing():
        raise CannotMeasure(f"Node is not installed: {hint}")
    folder = CACHE / "node"
    lock = (SOURCES / "package-lock.json").read_text()
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != lock:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCES / name, folder)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode:
            raise CannotMeasure(f"npm ci failed: {done.stderr[-500:]}")
        stamp.write_text(lock)
    return folder


@contextmanager
def _start(script: str, speech: Speech, folder: Path, core: int, deflate: bool) -> Iterator[Target]:
    port = free_port()
    env = {"NODE_PATH": str(installed() / "node_modules"), "PORT": str(port), "DEFLATE": "1" if deflate else ""}
    command = ["node", str(SOURCES / f"{script}.js")]
    with running(command, core, folder / f"{script}.log", port=port, env=env) as process:
        yield Target(script, [port], [process.pid], speech)


@contextmanager
def start_ws(folder: Path, core: int, rooms: list[str], *, deflate: bool = False) -> Iterator[Target]:
    """The broadcast example of ws, by path."""
    with _start("ws", Speech(path="/{room}"), folder, core, deflate) as target:
        yield target


@contextmanager
def start_socketio(folder: Path, core: int, rooms: list[str], *, deflate: bool = False) -> Iterator[Target]:
    """Rooms of Socket.IO. engine.io's frames: `4` a message, `40` connect, `42` event, `2` and `3` ping and pong."""
    speech = Speech(
        path="/socket.io/?EIO=4&transport=websocket&room={room}",
        hello=("40",),
        live='42["live"',
        before='42["say","',
        after='"]',
        wrap_bytes=12,
        engine_io=True,
    )
    with _start("socketio", speech, folder, core, deflate) as target:
        yield target
