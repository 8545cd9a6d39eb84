"""The load generator as a child process: members that are told what to do, and what they counted."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.machine import ROOT, CannotMeasure, compiled
from bench.target import Target

SOURCES = sorted((ROOT / "bench/loadgen").glob("*.[ch]"))
MARK_BYTES = 31
BUSY_MAX = 0.9
"""Above it the figures are rather the generator's than the server's."""
PATIENCE_S = 120.0

Counts = dict[str, Any]


def _place(core: int | None, yields: bool) -> None:
    """In the child."""
    if yields:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    if core is not None:
        os.sched_setaffinity(0, {core})


class Crowd:
    """The members of some rooms. `rooms`: {name: members}. `core`: where to stay; None: anywhere. `source`: its first address.
    `stamped`: `play` times without the generator's own loop, too. `size`: bytes of a delivered text. Every publication goes by
    one of `lanes` members of its room, in turn. `yields`: where a server wants every core it does not take one for each message
    that arrives, as the phones that it stands for do not; what it says may be a little late, which counts as latency.
    `awake`: where it has a core of its own it looks for what `load` has under way without sleep, so that no send() of the
    server wakes it; `busy` does not count that.
    """

    def __init__(
        self,
        target: Target,
        rooms: dict[str, int],
        core: int | None,
        *,
        size: int = 200,
        lanes: int = 8,
        bodies: Sequence[str] = (),
        deflate: bool = False,
        source: int = 0,
        stamped: bool = False,
        yields: bool = False,
        awake: bool = False,
    ) -> None:
        program = compiled(SOURCES, "loadgen", "-lz", "-lm")
        self.target, self.rooms = target, rooms
        self._folder = tempfile.TemporaryDirectory(prefix="wedsync-crowd-")
        folder = Path(self._folder.name)
        self._write_members(folder / "members")
        speech = target.speech
        pad = max(0, size - MARK_BYTES - speech.wrap_bytes)
        command = [program, "--members", folder / "members", "--lanes", lanes, "--pad", pad, "--source", source]
        command += ["--before", speech.before, "--after", speech.after]
        for hello in speech.hello:
            command += ["--hello", hello]
        command += ["--live", speech.live] if speech.live else []
        command += ["--error", speech.error] if speech.error else []
        command += ["--ping", speech.ping, "--ping-s", speech.ping_s] if speech.ping else []
        flags = {"--engine-io": speech.engine_io, "--resume": speech.resume, "--deflate": deflate}
        flags |= {"--stamped": stamped, "--awake": awake}
        command += [flag for flag, on in flags.items() if on]
        if bodies:
            (folder / "bodies").write_text("\n".join(bodies) + "\n")
            command += ["--bodies", folder / "bodies"]
        command += ["--pids", ",".join(map(str, (*target.workers, *target.helpers)))]
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=partial(_place, core, yields),
        )

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def open(self, in_flight: int = 200, patience_s: float = PATIENCE_S) -> Counts:
        """Connect everybody who is not. Raises CannotMeasure when not all are live in time."""
        counts = self._ask(f"open {in_flight} {patience_s:g}")
        if counts["live"] < counts["members"]:
            raise CannotMeasure(
                f"{self.target.name}: only {counts['live']:,} of {counts['members']:,} were live after {patience_s:g} s"
                f" ({counts['failed']} failed; the first: {counts['failure'] or 'nothing'})"
            )
        return counts

    def load(
        self, rate: float, *, seconds: float, warmup_s: float = 2.0, drain_s: float = 10.0, first: int = 0, count: int = 0
    ) -> Counts:
        """Publish `rate` times a second, open loop, and count; the rate rises during `warmup_s`.

        Afterwards wait up to `drain_s` for what is under way.
        """
        counts = self._ask(f"load {rate} {warmup_s} {seconds} {drain_s} {first} {count or len(self.rooms)}")
        return counts | self._costs(counts, counts["in_window"]) | {"deliveries_per_s": counts["in_window"] / counts["seconds"]}

    def pair(self, room: int, other: int, times: int, every_ms: float) -> Counts:
        """Publish in both rooms at the same moment, several times."""
        return self._ask(f"pair {room} {other} {times} {every_ms}")

    def hold(self, seconds: float) -> Counts:
        """Stay connected and answer."""
        return self._ask(f"hold {seconds}")

    def drop(self) -> None:
        """Close all connections without a word."""
        self._ask("drop")

    def _costs(self, counts: Counts, deliveries: int) -> Counts:
        workers = sum(counts["cpu_s"][: len(self.target.workers)])
        return {
            "worker_cpu_s": workers,
            "helper_cpu_s": sum(counts["cpu_s"][len(self.target.workers) :]),
            "per_cpu_s": deliveries / workers if workers else None,
            "cpu_us": workers / deliveries * 1e6 if deliveries else None,
            "valid": counts["busy"] <= BUSY_MAX and not counts["unsent"],
        }

    def _ask(self, command: str) -> Counts:
        self.tell(command)
        return self.hear(command)

    def tell(self, command: str) -> None:
        """Say what to do, without waiting until it is done. Raises CannotMeasure when nobody is there."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise CannotMeasure("the load generator ended") from None

    def hear(self, command: str) -> Counts:
        """The answer to `command`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CannotMeasure(f"the load generator ended with {self._process.wait()} at {command!r}")
        counts: Counts = json.loads(line)
        return counts

    def _write_members(self, path: Path) -> None:
        target = self.target
        with path.open("w") as file:
            for place, (room, members) in enumerate(self.rooms.items()):
                port = target.ports[place % len(target.ports)]
                where = target.speech.path.format(room=room)
                file.writelines(f"{room}\t{port}\t{where}\t{target.header(room, n)}\n" for n in range(members))
