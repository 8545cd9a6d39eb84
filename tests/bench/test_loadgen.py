"""The load generator counts what a server did to its publications, whatever pieces they arrive in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import machine, monitoring
from bench.generator import Crowd
from bench.machine import CannotMeasure
from bench.target import Speech, Target
from tests.bench.tiny_server import Harm, TinyServer, swap

MEMBERS, BATCH = 3, 10

pytestmark = pytest.mark.skipif(
    not (shutil.which("cc") and Path("/usr/include/zlib.h").exists()), reason="apt-get install gcc libc6-dev zlib1g-dev"
)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(machine, "CACHE", tmp_path_factory.mktemp("cache"))
    yield
    patch.undo()


def crowd_of(port: int, *, size: int = 200, deflate: bool = False, awake: bool = False) -> Crowd:
    target = Target("tiny", [port], [os.getpid()], Speech(path="/{room}"))
    return Crowd(target, {"room": MEMBERS}, None, size=size, lanes=1, deflate=deflate, awake=awake)


def keep(frames: list[bytes]) -> list[bytes]:
    return frames


HARMS: list[tuple[str, Harm, dict[str, int]]] = [
    ("none", keep, {"lost": 0, "twice": 0, "out_of_order": 0}),
    ("lost", lambda frames: frames[:4] + frames[5:], {"lost": 1, "twice": 0, "out_of_order": 0}),
    ("last lost", lambda frames: frames[:-1], {"lost": 1, "twice": 0, "out_of_order": 0}),
    ("twice", lambda frames: [*frames[:4], frames[3], *frames[4:]], {"lost": 0, "twice": 1, "out_of_order": 0}),
    ("swapped", swap, {"lost": 0, "twice": 0, "out_of_order": 1}),
    ("late and twice", lambda frames: [*swap(frames), frames[2]], {"lost": 0, "twice": 1, "out_of_order": 1}),
]


@pytest.mark.parametrize("awake", [False, True], ids=["asleep", "awake"])
@pytest.mark.parametrize("piece", [0, 1, 7], ids=["joined", "byte by byte", "split"])
@pytest.mark.parametrize(("harm", "counted"), [(h, c) for _, h, c in HARMS], ids=[name for name, *_ in HARMS])
def test_harm_is_counted(harm: Harm, counted: dict[str, int], piece: int, awake: bool) -> None:
    with TinyServer(harm, batch=BATCH, piece=piece) as server, crowd_of(server.port, awake=awake) as crowd:
        crowd.open()
        # 100 a second for 0.1 s are ten publications: one batch.
        counts = crowd.load(100, seconds=0.1, warmup_s=0.0, drain_s=0.4)
    assert counts["published"] == BATCH
    assert counts["expected"] == BATCH * MEMBERS
    assert {name: counts[name] for name in counted} == counted


def test_latency_counts_from_the_intended_moment() -> None:
    """The server holds everything back until the tenth came: the first waited 90 ms, the last nothing."""
    with TinyServer(keep, batch=BATCH) as server, crowd_of(server.port) as crowd:
        crowd.open()
        counts = crowd.load(100, seconds=0.1, warmup_s=0.0, drain_s=0.4)
    assert counts["max_ms"] >= 90
    assert 40 <= counts["p50_ms"] < counts["p99_ms"] <= counts["max_ms"]


def test_to_look_without_sleep_is_not_called_busy() -> None:
    """The server holds nearly everything back, all the time: the generator has little to do but to look."""
    used_s, busy_s = {}, {}
    for awake in (False, True):
        with TinyServer(keep, batch=BATCH) as server, crowd_of(server.port, awake=awake) as crowd:
            crowd.open()
            before_s = monitoring.used_s(crowd._process.pid)
            counts = crowd.load(100, seconds=0.5, warmup_s=0.0, drain_s=0.4)
            used_s[awake], busy_s[awake] = monitoring.used_s(crowd._process.pid) - before_s, counts["busy"] * counts["seconds"]
    assert used_s[True] > 3 * used_s[False]
    assert busy_s[True] < used_s[True] / 2


def test_compressed_texts_are_read_and_their_bytes_counted() -> None:
    with TinyServer(keep, batch=BATCH, deflate=True) as server, crowd_of(server.port, size=1_000, deflate=True) as crowd:
        crowd.open()
        counts = crowd.load(100, seconds=0.1, warmup_s=0.0, drain_s=0.4)
        # Everything came with the last publication, after the measured window.
        after = crowd.load(100, seconds=0.55, warmup_s=0.1, drain_s=0.4)
    assert counts["lost"] == after["lost"] == 0
    assert after["compressed"] == after["texts"] > 0
    assert after["text_bytes"] == after["texts"] * 1_000
    assert after["bytes"] < after["text_bytes"] / 5


def test_everybody_must_come_in() -> None:
    with TinyServer(keep, batch=BATCH) as server:
        port = server.port
    with crowd_of(port) as crowd, pytest.raises(CannotMeasure, match="0 of 3 were live"):
        crowd.open(patience_s=0.3)


def test_cpu_of_the_server_and_of_the_generator_is_read() -> None:
    with TinyServer(keep, batch=1) as server, crowd_of(server.port) as crowd:
        crowd.open()
        counts = crowd.load(2_000, seconds=0.5, warmup_s=0.1)
    assert 0 < counts["worker_cpu_s"] <= counts["seconds"] * 1.5
    assert 0 < counts["busy"] < 1
    assert counts["valid"] == (counts["busy"] <= 0.9)


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "CACHE", tmp_path)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(CannotMeasure, match="no-such-compiler is needed.*apt-get install gcc"):
        crowd_of(1)
