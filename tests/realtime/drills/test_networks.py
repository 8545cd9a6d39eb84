"""Networks of phones: their shares, and what they do to time."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.drills.networks import NETWORKS, RETRY_S, Line, Network, netem, spread

STILL = Network("still", 1.0, 100, 0, 0.0)


@pytest.mark.parametrize("count", [4, 5, 20, 200, 10_000])
def test_everybody_is_on_some_network_and_none_is_empty(count: int) -> None:
    counts = Counter(spread(count, random.Random(1)))
    assert sum(counts.values()) == count and set(counts) == set(range(len(NETWORKS)))
    if count >= 20:
        assert all(abs(counts[k] / count - network.share) <= 0.05 for k, network in enumerate(NETWORKS))


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 100_000)), max_size=50), st.sampled_from(NETWORKS), st.integers())
def test_nothing_overtakes_and_nothing_arrives_before_it_was_sent(
    sent: list[tuple[float, int]], network: Network, seed: int
) -> None:
    line, arrived_s = Line(network, random.Random(seed)), 0.0
    for now_s, n_bytes in sorted(sent):
        at_s = line.arrival_s(now_s, n_bytes)
        assert at_s >= max(now_s, arrived_s)
        arrived_s = at_s


def test_half_a_round_trip_each_way() -> None:
    assert Line(STILL, random.Random(1)).arrival_s(7.0, 100) == pytest.approx(7.05)


def test_a_lost_packet_costs_a_retry_and_holds_up_what_is_behind_it() -> None:
    class Chance(random.Random):
        """Loses the first packet."""

        draws = iter([0.0, 0.9, 0.9])

        def random(self) -> float:
            return next(self.draws)

    network = Network("lossy", 1.0, 100, 0, 0.5)
    chance = Chance()
    chance.gauss = lambda mu=0.0, sigma=1.0: mu  # type: ignore[method-assign]
    line = Line(network, chance)
    first_s = line.arrival_s(0.0, 100)
    assert first_s == pytest.approx(0.05 + RETRY_S + 0.1)
    assert line.arrival_s(0.01, 100) == first_s


def test_a_narrow_network_takes_one_after_the_other() -> None:
    line = Line(Network("narrow", 1.0, 0, 0, 0.0, rate_kbit=8), random.Random(1))
    assert [line.arrival_s(0.0, 1_000) for _ in range(3)] == [pytest.approx(s) for s in (1.0, 2.0, 3.0)]


def test_netem_gets_the_same_figures() -> None:
    barn = next(network for network in NETWORKS if network.name == "barn")
    words = " ".join(netem(barn))
    assert "delay 150ms 75ms" in words and "loss 3%" in words and "rate 256kbit" in words and "reorder" in words
    assert "rate" not in netem(STILL)
