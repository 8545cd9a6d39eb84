"""`drill mobile`: phones on four sorts of networks, with gaps and a change of address, while everybody is talking.

Where network namespaces are permitted (root) each sort of network is one: its link goes down, its address changes;
its delay and losses are the kernel's (`tc netem`) where that is there. Whatever is not permitted a proxy plays instead.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from realtime.client import Client
from realtime.client_events import CaughtUp, Event, Received, Via
from realtime.drills import namespaces
from realtime.drills.faults import FaultDrill
from realtime.drills.history import Recorder
from realtime.drills.load import Result, Route, member_id
from realtime.drills.namespaces import Namespace
from realtime.drills.networks import NETWORKS, Line, Network, netem, spread
from realtime.drills.proxy import ChaosProxy
from realtime.histogram import Histogram
from realtime.kinds import KINDS

MOVE_AT, GAP_AT, GAP_SHARE = 0.15, 0.35, 0.35
GAP_S = 20.0
GOOD, MOVED, GAPPED = "good", "crowded", "dead-zones"
MOST_S, ALL_S = 2.0, 5.0
"""After the link is there again: 95 of 100 are complete, and all; on the worst of these networks a lost packet is 0.3 s."""
GOOD_MS = 200.0
"""Ephemeral kinds on a good network: 100 ms of ours, a round trip of 40 ms, and what its jitter adds."""


class Air:
    """One sort of network: a proxy in front of the server, and perhaps a namespace to come from."""

    def __init__(self, network: Network, proxy: ChaosProxy, namespace: Namespace | None) -> None:
        self.network = network
        self.proxy = proxy
        self.namespace = namespace
        self.people: list[tuple[int, int]] = []

    @property
    def route(self) -> Route:
        socket_of = self.namespace.socket if self.namespace is not None else None
        return Route(f"ws://{self.proxy.host}:{self.proxy.port}", socket_of=socket_of)

    async def link(self, *, up: bool) -> None:
        """Out of reach, or back: then what was open on it is dead."""
        if self.namespace is not None:
            await asyncio.to_thread(self.namespace.link, up=up)
        if up:
            self.proxy.forward(reset=True)
        else:
            self.proxy.silent()

    async def move(self) -> None:
        """Another address, for all on it."""
        if self.namespace is not None:
            await asyncio.to_thread(self.namespace.move)
        self.proxy.cut()


class MobileDrill(FaultDrill):
    name = "mobile"
    injects = (
        "60 % good networks, 25 % crowded (120 ms, 1 % loss), 10 % in a barn (300 ms, 3 %, 256 kbit/s), 5 % in dead zones: "
        "20 s without a network; one sort gets other addresses"
    )
    invariant = f"0/0/0; ephemeral kinds from one good network to another: p99 within {GOOD_MS:g} ms"
    recovery = f"95 of 100 within {MOST_S:g} s of the network's return, all within {ALL_S:g} s"
    minutes = 1.0

    async def run(self) -> Result:
        """Put the networks up, play, and take them away whatever happens."""
        rng = random.Random(f"{self.options.seed} networks")
        everybody = [(n, m) for n, room in enumerate(self.plan) for m in range(len(room.roles))]
        self._seen = {network.name: Histogram() for network in NETWORKS}
        self._snapshots = 0
        async with AsyncExitStack() as stack:
            airs = [await stack.enter_async_context(self._air(k, network)) for k, network in enumerate(NETWORKS)]
            self._air_of = {person: airs[k] for person, k in zip(everybody, spread(len(everybody), rng), strict=True)}
            for person, air in self._air_of.items():
                air.people.append(person)
            self._airs = {air.network.name: air for air in airs}
            self._good = {member_id(self.plan[n], m) for n, m in self._airs[GOOD].people}
            return await super().run()

    @asynccontextmanager
    async def _air(self, number: int, network: Network) -> AsyncIterator[Air]:
        rng = random.Random(f"{self.options.seed} {network.name}")
        own, real = await asyncio.to_thread(lambda: (namespaces.permitted(), namespaces.netem_permitted()))
        self.facts["by"] = "namespaces and netem" if real else "namespaces and a proxy" if own else "a proxy"
        namespace = Namespace(number) if own else None
        host = namespace.host if namespace is not None else "127.0.0.1"
        server = self._server.hostname or "127.0.0.1", self._server.port or 80
        try:
            if namespace is not None:
                await asyncio.to_thread(namespace.__enter__)
                if real:
                    await asyncio.to_thread(namespace.shape, netem(network))
            async with ChaosProxy(*server, host=host, way=None if real else lambda: Line(network, rng)) as proxy:
                yield Air(network, proxy, namespace)
        finally:
            if namespace is not None:
                await asyncio.to_thread(namespace.__exit__)

    def _route(self, n: int, m: int, base: str) -> Route:
        spoiled = base != f"ws://{self._server.netloc}"
        return super()._route(n, m, base) if spoiled else self._air_of[n, m].route

    def _on(self, name: str) -> list[Client]:
        return [self.clients[n][m] for n, m in self._airs[name].people]

    async def inject(self) -> None:
        duration_s = self.options.duration_s
        await self._clock.sleep(MOVE_AT * duration_s)
        self.moved_s = self._clock.monotonic()
        await self._airs[MOVED].move()
        for client in self._on(MOVED):
            client.drop()  # a phone ends what was open on an address that it has no more
        self.injected(f"{len(self._on(MOVED))} phones get another address")
        await self._clock.sleep((GAP_AT - MOVE_AT) * duration_s)
        for client in self._on(GAPPED):
            client.stall(True)  # without a network a phone does not even try
            client.drop()
        await self._airs[GAPPED].link(up=False)
        self.injected(f"{len(self._on(GAPPED))} phones are in a dead zone")
        gap_s = min(GAP_S, GAP_SHARE * duration_s)
        await self._clock.sleep(gap_s)
        await self._airs[GAPPED].link(up=True)
        self.back_s = self._clock.monotonic()
        for client in self._on(GAPPED):
            client.stall(False)
        self.restored("the dead zone is behind them")
        self.facts["gap_s"] = round(gap_s, 1)

    def _listening(self, n: int, m: int, recorder: Recorder) -> Callable[[Event], None]:
        tell, name = super()._listening(n, m, recorder), self._air_of[n, m].network.name

        def on_event(event: Event) -> None:
            tell(event)
            match event:
                case Received(pub, Via.LIVE) if (kind := KINDS.get(pub.kind)) is not None and not kind.durable:
                    ref = self.history.ref(self.plan[n].name, pub.sender.member, pub.id, pub.kind)
                    message = self.history.messages[ref]
                    if message.sent and pub.sender.member in self._good:  # the way to the server is not this network's
                        self._seen[name].record(self._clock.monotonic() - message.intended_s)
                case CaughtUp(recovered=False):
                    self._snapshots += 1

        return on_event

    def promises(self) -> list[str]:
        for name, seen in self._seen.items():
            p50_ms, p99_ms = seen.quantile_ms(0.5), seen.quantile_ms(0.99)
            self.facts[f"{name}_people"] = len(self._airs[name].people)
            self.facts[f"{name}_p50_ms"] = None if p50_ms is None else round(p50_ms)
            self.facts[f"{name}_p99_ms"] = None if p99_ms is None else round(p99_ms)
        self.facts["snapshots_beside_the_first"] = self._snapshots - self.options.connections
        broken = self._returns("moved", MOVED, self.moved_s) + self._returns("gapped", GAPPED, self.back_s)
        good_ms = self.facts["good_p99_ms"]
        if not isinstance(good_ms, int):
            broken.append("nothing ephemeral was seen on good networks: play for longer")
        elif good_ms > GOOD_MS:
            broken.append(f"ephemeral kinds from one good network to another: p99 {good_ms} ms, the goal is {GOOD_MS:g} ms")
        return broken

    def _returns(self, what: str, name: str, since_s: float) -> list[str]:
        """How soon those on one sort of network were complete again after `since_s`."""
        people = {member_id(self.plan[n], m) for n, m in self._airs[name].people}
        back = {e.member: e.back_s - since_s for e in self.ended if e.member in people and e.back_s and e.back_s >= since_s}
        waits = sorted(back.values())
        most, last = (round(waits[max(0, round(q * len(waits)) - 1)], 3) if waits else None for q in (0.95, 1.0))
        self.facts |= {f"{what}_p95_back_s": most, f"{what}_last_back_s": last}
        gone = len(people) - len(back)
        broken = [f"{gone} of {len(people)} phones ({name}) did not come back"] if gone else []
        broken += self.late(f"{what}_p95_back_s", MOST_S, f"95 of 100 phones ({name}) were")
        return broken + self.late(f"{what}_last_back_s", ALL_S, f"the last of the phones ({name}) was")
