"""A made-up fleet's past: summaries of ten seconds, no two alike, the same each time."""

from __future__ import annotations

import random
from collections.abc import Iterator

from msgspec.structs import replace

from monitoring.rollup import RAW, Summary, merge
from monitoring.samples import TOTAL, Row
from realtime.histogram import Histogram


def summary(rng: random.Random, deliveries: int = 60) -> Summary:
    """Ten seconds of one worker."""
    people = rng.randrange(200, 1_500)
    latency = {priority: Histogram() for priority in ("P0", "P1", "P2", "P3")}
    for _ in range(deliveries):
        latency[rng.choice(("P1", "P2", "P3", "P3"))].record(rng.lognormvariate(-6.2, 0.8), rng.randrange(1, 40))
    counted = {priority: histogram.counts for priority, histogram in latency.items() if len(histogram)}
    return Summary(
        covered_ms=10_000,
        connections_ms=people * 10_000,
        connections_least=people - 3,
        connections_most=people + 3,
        connections_last=people,
        roles_ms={"guest": (people - 2) * 10_000, "planner": 20_000},
        workers_ms=10_000,
        workers_least=1,
        workers_most=1,
        weddings_most=rng.randrange(5, 20),
        cpu_us=rng.randrange(10_000_000),
        cpu_known_ms=10_000,
        busy_most=rng.random(),
        lag_s_most=rng.random() / 100,
        rss_bytes_most=rng.randrange(10**8, 2 * 10**8),
        outbox_bytes_ms=rng.randrange(10**9),
        outbox_bytes_most=rng.randrange(10**6),
        publications=deliveries,
        deliveries=sum(sum(buckets.values()) for buckets in counted.values()),
        joins=rng.randrange(20),
        faults=0,
        latency=counted,
        acked={"P1": counted.get("P1", {})},
    )


def rows(start_s: int, end_s: int, workers: int, *, deliveries: int = 60, seed: int = 1) -> Iterator[list[Row]]:
    """One list for every ten seconds: each worker, one of two hundred different ones, and all together."""
    rng = random.Random(seed)
    pool = [summary(rng, deliveries) for _ in range(200)]
    for at_s in range(start_s, end_s, RAW.step_s):
        each = [(f"w{n + 1}", at_s, rng.choice(pool)) for n in range(workers)]
        yield [*each, (TOTAL, at_s, together([part for _, _, part in each]))]


def together(each: list[Summary]) -> Summary:
    """All workers of the same ten seconds."""
    people = sum(part.connections_last or 0 for part in each)
    return replace(
        merge(each),
        covered_ms=10_000,
        cpu_known_ms=10_000,
        connections_least=people,
        connections_most=people,
        connections_last=people,
        workers_least=len(each),
        workers_most=len(each),
        wanted_last=len(each),
    )
