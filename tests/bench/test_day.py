"""A day that is written down is played, counted by priority and summed up over processes."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from bench.day import DATA, PER_PROCESS, SUMS, Crowds, DayCrowd, merged, parts, quantile_ms, script
from bench.target import Speech, Target
from realtime.drills.workloads import PROFILES, RoomPlan, rooms
from realtime.kinds import KINDS, decode_data
from tests.bench.test_loadgen import HARMS, cache
from tests.bench.tiny_server import Harm, TinyServer

__all__ = ["cache"]
PROFILE = PROFILES["sat-june-100k"]
ROOM = RoomPlan("room", ("planner", "vendor", "guest"))

compiler = pytest.mark.skipif(
    not (shutil.which("cc") and Path("/usr/include/zlib.h").exists()), reason="apt-get install gcc libc6-dev zlib1g-dev"
)


def target(port: int) -> Target:
    return Target("tiny", [port], [os.getpid()], Speech(path="/{room}", error='{"t":"error"'))


def written(kind_class: int, audience: int, times: int) -> str:
    kind = f'kind\t{kind_class}\t{audience}\t10\t{{"id":"%i","text":"\t"}}'
    return "\n".join([kind, "items\t0\t7\t8", *(f"at\t{n * 1_000}\t{n % 3}\t0" for n in range(times))]) + "\n"


@compiler
@pytest.mark.parametrize(("harm", "counted"), [(h, c) for _, h, c in HARMS], ids=[name for name, *_ in HARMS])
def test_what_is_lost_or_comes_twice_is_counted_by_priority(harm: Harm, counted: dict[str, int], tmp_path: Path) -> None:
    everybody = 2**16 - 1
    with TinyServer(harm, batch=10) as server, Crowds(target(server.port), [ROOM]) as crowds:
        assert crowds.open(10, 10.0)["live"] == 3
        counts = crowds.play([written(0, everybody, 10)], 0.1, 0.4, tmp_path)
    assert (counts["p01_published"], counts["p01_expected"], counts["p2_expected"]) == (10, 30, 0)
    assert (counts["p01_lost"], counts["p01_twice"]) == (counted["lost"], counted["twice"])
    assert counts["p01_p99_ms"] >= counts["p01_wire_p99_ms"] > 0
    assert counts["p3_p99_ms"] is None and counts["p3_wire_p99_ms"] is None


@compiler
def test_what_its_publisher_was_refused_is_not_lost(tmp_path: Path) -> None:
    with TinyServer(lambda frames: frames[:-1], batch=10, refuses=4) as server, Crowds(target(server.port), [ROOM]) as crowds:
        crowds.open(10, 10.0)
        counts = crowds.play([written(1, 2**16 - 1, 10)], 0.1, 0.4, tmp_path)
    assert (counts["p2_published"], counts["p2_refused"], counts["p2_expected"], counts["p2_lost"]) == (10, 1, 27, 1)
    assert counts["refused"] == 1 and '"' not in counts["refusal"]


@compiler
def test_only_the_audience_is_expected_to_see_it(tmp_path: Path) -> None:
    with TinyServer(lambda frames: frames, batch=1) as server, DayCrowd(target(server.port), [ROOM], 0) as crowd:
        crowd.open()
        (tmp_path / "day").write_text(written(1, int(KINDS["chat.crew"].audience), 1))
        counts = crowd._ask(f"play {tmp_path / 'day'} 0.1 0.2")
    assert counts["p2_expected"] == 2  # not the guest


def test_every_kind_that_is_played_is_one_the_server_takes() -> None:
    for name, data in DATA.items():
        text = data.replace("%i", "1").replace("%a", "7").replace("%b", "8").replace("@", "~W" + "0" * 29)
        decode_data(KINDS[name], msgspec.Raw(text.encode()))
    assert {rate.kind for rate in PROFILE.rates} - set(DATA) == {"vendor.location"}


def test_the_script_says_what_the_profile_says() -> None:
    plan = rooms(PROFILE, 500)
    lines = script(PROFILE, plan, {room.name: (1, 2) for room in plan}, 60.0, 1).splitlines()
    what = Counter(line.split("\t")[0] for line in lines)
    assert what["kind"] == len(DATA) and what["items"] == len(plan)
    moments = [int(line.split("\t")[1]) for line in lines if line.startswith("at")]
    assert moments == sorted(moments) and moments[-1] < 60_000_000
    members = [int(line.split("\t")[2]) for line in lines if line.startswith("at")]
    assert min(members) >= 0 and max(members) < 500


def test_whole_weddings_are_spread_over_as_few_processes_as_carry_them() -> None:
    plan = rooms(PROFILE, 100_000)
    shared = parts(plan)
    assert len(shared) == 7 and sum(map(len, shared)) == len(plan)
    assert max(sum(len(room.roles) for room in part) for part in shared) < 1.1 * PER_PROCESS


def test_quantiles_are_those_of_everything_that_was_measured() -> None:
    assert quantile_ms(Counter(), 0.5) is None
    assert quantile_ms(Counter({10: 99, 63: 1}), 0.99) == 0.010
    assert quantile_ms(Counter({64: 1}), 0.5) == pytest.approx(0.064, abs=0.001)
    assert merged([_answer({5: 1}), _answer({50: 99})])["p01_p99_ms"] == 0.050


def _answer(buckets: dict[int, int]) -> dict[str, object]:
    names = (*SUMS, "busy", "seconds", "server_kept_waiting", "kept_waiting")
    numbers: dict[str, object] = dict.fromkeys(names, 1)
    classes = {
        f"{c}_{w}": 1
        for c in ("p01", "p2", "p3")
        for w in ("published", "refused", "expected", "distinct", "twice", "measured")
    }
    names_of_buckets = [f"{c}_{what}" for c in ("p01", "p2", "p3") for what in ("buckets", "wire_buckets")]
    listed = {name: [list(pair) for pair in buckets.items()] for name in names_of_buckets}
    return numbers | classes | listed | {"failure": "", "refusal": "", "cpu_s": []}
