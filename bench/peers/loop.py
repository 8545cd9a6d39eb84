"""The C loop of send(): what the kernel takes, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import CannotMeasure, compiled, free_port, running
from bench.target import Speech, Target

SOURCE = Path(__file__).with_suffix(".c")


@contextmanager
def start(folder: Path, core: int, rooms: list[str], *, deflate: bool = False) -> Iterator[Target]:
    """One process."""
    if deflate:
        raise CannotMeasure("the C loop does not compress")
    port = free_port()
    with running([str(compiled([SOURCE], "loop")), str(port)], core, folder / "loop.log", port=port) as process:
        yield Target("loop", [port], [process.pid], Speech(path="/{room}"))
