"""Canaries say whether what a process says reaches the others."""

from __future__ import annotations

from realtime.canary import GONE_S, LATELY_S, ROOM, Canaries
from tests.fakes import ManualClock, MemoryMailbox, Network


class Nest:
    def __init__(self, network: Network, clock: ManualClock, process: str) -> None:
        self.mailbox = MemoryMailbox(network)
        self.canaries = Canaries(self.mailbox, clock, process)
        self.sung: list[bytes] = []
        self.mailbox.send = lambda room, parcels: self.sung.extend(parcels)  # type: ignore[method-assign]


def test_who_is_heard_and_who_is_not() -> None:
    clock, network = ManualClock(), Network()
    here, there = Nest(network, clock, "h.1.a"), Nest(network, clock, "h.2.b")
    there.canaries.send()
    clock.advance(0.25)
    here.canaries.receive(there.sung[0])
    assert here.canaries.heard() == {"h.2.b": 0.25}
    clock.advance(LATELY_S)
    assert here.canaries.heard() == {"h.2.b": None}
    here.canaries.send()
    assert not here.canaries.deaf  # however long it took to start
    clock.advance(LATELY_S + 0.1)
    assert here.canaries.heard() == {"h.2.b": None, "h.1.a": None}  # it does not even hear itself
    assert here.canaries.deaf
    here.canaries.receive(here.sung[-1])
    assert not here.canaries.deaf
    assert here.canaries.of_others() == {"h.2.b": None}
    clock.advance(GONE_S)
    assert here.canaries.of_others() == {}


def test_one_that_never_sings_misses_nothing() -> None:
    clock = ManualClock()
    nest = Nest(Network(), clock, "h.1.a")
    clock.advance(60)
    assert nest.canaries.heard() == {}


def test_between_machines_the_time_of_day_counts() -> None:
    clock = ManualClock()
    here, there = Nest(Network(), clock, "h.1.a"), Nest(Network(), clock, "other.2.b")
    there.canaries.send()
    clock.advance(0.5)
    here.canaries.receive(there.sung[0])
    assert here.canaries.heard()["other.2.b"] == 0.5
    assert ROOM != "rose"
