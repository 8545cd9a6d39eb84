"""What is counted of each wedding is reported for as long as it is held, whatever comes and goes beside it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from realtime.report import DELIVERIES, FAULTS, PUBLICATIONS, REPLAYED, SOCKETS, Packed, WeddingReport
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


@given(st.lists(STEP, max_size=60))
def test_a_reader_sees_what_each_open_wedding_has_counted(steps: list[tuple[object, ...]]) -> None:
    tallies, held, closed = Tallies(), {}, []
    for step in steps:
        match step:
            case ("open", str() as name, bool() as fenced):
                if name in held:
                    closed.append(held[name])
                held[name] = Tally(name, fenced=fenced)
                tallies.add(held[name])
            case ("close", str() as name):
                tallies.remove(name)
                if name in held:
                    closed.append(held.pop(name))
            case ("count", str() as name, int() as column, int() as n) if name in held:
                held[name].add(column, n)
            case ("time", str() as name, int() as index, int() as n) if name in held:
                held[name].time([(index, n)])
    assert sent(tallies) == {name: tally.report() for name, tally in held.items()}
    before = sent(tallies)
    for tally in closed:  # somebody may hold on to a room that is closed
        tally.add(DELIVERIES, 1)
        tally.time([(1, 1)])
    assert sent(tallies) == before


def test_a_row_is_what_it_says() -> None:
    tally = Tally("rose", fenced=True)
    for n, column in enumerate(("guest", "planner")):
        tally.add(SOCKETS[column], n + 1)
    for n, column in enumerate((PUBLICATIONS, DELIVERIES, REPLAYED, FAULTS)):
        tally.add(column, n + 3)
    tally.time([(7, 2), (7, 1)])
    assert tally.report() == WeddingReport({"guest": 1, "planner": 2}, 3, 4, {7: 3}, 5, 6, fenced=True)


def test_counts_of_another_release_are_not_taken_for_others() -> None:
    tallies = Tallies()
    tallies.add(Tally("rose"))
    packed = tallies.packed()
    with pytest.raises(msgspec.ValidationError, match="1 weddings"):
        replace(packed, counts=packed.counts + bytes(8)).weddings()
