"""`drill load`: so many people, so much said. Nothing is broken, so everything has to be right, and in time."""

from __future__ import annotations

from argparse import ArgumentParser

from realtime.drills.faults import FaultDrill


class SaturdayDrill(FaultDrill):
    name = "load"
    injects = "nothing but what any day brings: so many people, so much said, in open loop, connections lost by chance"
    invariant = "everything acknowledged is seen, once, in order, by those who may; P0 and P1 p99 within 100 ms"
    recovery = "none"
    minutes = 1.0
    people = 1_000
    workers = 0
    churn = True
    judge_latency = True
    live = True

    @classmethod
    def arguments(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--burst", action="store_true", help="a quarter of the weddings are in their peak minute")
        parser.add_argument("--url", default="", help="http://host:port of a server with the same SECRET_KEY and the weddings")

    async def inject(self) -> None:
        return

    def promises(self) -> list[str]:
        return []
