"""What a supervisor is to run, and what it runs."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["worker", "web", "dispatcher", "control", "redis"]


@dataclass(eq=False)
class Child:
    """One process. `name`: "w1.2" is the second that fills slot w1."""

    name: str
    slot: str
    kind: Kind
    process: subprocess.Popen[bytes]
    started_s: float
    deaths: int = 0
    ours: socket.socket | None = None
    """Of a worker: the dispatcher's end. Of the dispatcher: the supervisor's end."""
    leaving: bool = False

    @property
    def running(self) -> bool:
        return self.process.poll() is None


@dataclass
class Plan:
    """What to run. `control`: the command of the control loop, () for none; `redis`: of a private Redis; `deploy`: what SIGHUP
    starts, so that it asks the same questions as a person who deploys."""

    slots: int
    listener: socket.socket
    env: dict[str, str]
    cwd: Path
    per_s: float
    burst: float
    control: Sequence[str] = ()
    redis: Sequence[str] = ()
    deploy: Sequence[str] = ()
    most: int = 64
    log: Callable[[str], None] = field(default=lambda line: None)
