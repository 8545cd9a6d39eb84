"""What is counted of each wedding is reported for as long as it is held, whatever comes and goes beside it."""

from __future__ import annotations

from array import array
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime.report import DELIVERIES, FAULTS, FENCED, PUBLICATIONS, REPLAYED, SOCKETS, Packed, WeddingReport
from realtime.tally import Tallies, Tally

COLUMNS = (*SOCKETS.values(), PUBLICATIONS, DELIVERIES, REPLAYED, FAULTS)
NAMES = st.sampled_from(["rose", "tulip", "iris", "lily"])
STEP = st.one_of(
    st.tuples(st.just("open"), NAMES, st.booleans()),
    st.tuples(st.just("close"), NAMES),
    st.tuples(st.just("count"), NAMES, st.sampled_from(COLUMNS), st.integers(1, 2**40)),
    st.tuples(st.just("time"), NAMES, st.integers(0, 5), st.integers(1, 9)),
)


def sent(tallies: Tallies) -> dict[str, WeddingReport]:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(tallies.packed()), type=Packed).weddings()


class Model:
    """What a tally should say, counted by hand."""

    def __init__(self, fenced: bool) -> None:
        self.row: Counter[int] = Counter({FENCED: int(fenced)})
        self.latency: Counter[int] = Counter()

    def report(self) -> WeddingReport:
        people = {role: self.row[column] for role, column in SOCKETS.items() if self.row[column]}
        row, fenced = self.row, bool(self.row[FENCED])
        return WeddingReport(people, row[PUBLICATIONS], row[DELIVERIES], dict(self.latency), row[REPLAYED], row[FAULTS], fenced)


@given(st.lists(STEP, max_size=60))
def test_a_reader_sees_what_each_open_wedding_has_counted(steps: list[tuple[object, ...]]) -> None:
    tallies = Tallies()
    known: dict[str, list[tuple[Tally, Model]]] = {}
    held: dict[str, tuple[Tally, Model]] = {}
    for step in steps:
        match step:
            case ("open", str() as name, bool() as fenced):
                held[name] = Tally(name, fenced=fenced), Model(fenced)
                held[name][0].add(REPLAYED, 3)  # it counts before it is reported, too
                held[name][1].row[REPLAYED] += 3
                known.setdefault(name, []).append(held[name])
                tallies.add(held[name][0])
            case ("close", str() as name):
                tallies.remove(name)
                held.pop(name, None)
            case ("count", str() as name, int() as column, int() as n):
                for tally, model in known.get(name, []):  # somebody may hold on to a room that is closed
                    tally.add(column, n)
                    model.row[column] += n
            case ("time", str() as name, int() as index, int() as n):
                for tally, model in known.get(name, []):
                    tally.time(index, n)
                    model.latency[index] += n
        assert sent(tallies) == {name: model.report() for name, (_, model) in held.items()}
    for all_of_it in known.values():
        assert [tally.report() for tally, _ in all_of_it] == [model.report() for _, model in all_of_it]


def test_a_row_is_what_it_says() -> None:
    tally = Tally("rose", fenced=True)
    for n, column in enumerate(("guest", "planner")):
        tally.add(SOCKETS[column], n + 1)
    for n, column in enumerate((PUBLICATIONS, DELIVERIES, REPLAYED, FAULTS)):
        tally.add(column, n + 3)
    tally.time(7, 2)
    tally.time(7, 1)
    assert tally.report() == WeddingReport({"guest": 1, "planner": 2}, 3, 4, {7: 3}, 5, 6, fenced=True)


def test_another_release_may_count_other_things() -> None:
    names = msgspec.Raw(msgspec.msgpack.encode(["rose", "tulip"]))
    counts = array("q", [9, 5, 1, 2, 8, 6, 0, 0]).tobytes()
    packed = Packed(names, counts, {"tulip": {3: 1}}, ("deliveries_total", "florist", "guest", "unheard_of"))
    assert packed.weddings() == {
        "rose": WeddingReport({"florist": 5, "guest": 1, "unheard_of": 2}, deliveries_total=9),
        "tulip": WeddingReport({"florist": 6}, deliveries_total=8, latency={3: 1}),
    }
    with pytest.raises(msgspec.ValidationError, match="2 weddings"):
        replace(packed, counts=counts + bytes(8)).weddings()
