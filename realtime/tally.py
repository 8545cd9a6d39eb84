"""What a worker counts of each wedding that it holds, side by side in one array.

A report of hundreds of weddings, every second, then reads that array from its beginning to its end. Objects of their own have
left the processor's cache by then, thousands of them, and would have to be brought back one by one.
"""

from __future__ import annotations

from array import array

import msgspec

from realtime.histogram import Buckets, count
from realtime.report import COLUMNS, FENCED, WIDTH, Packed, WeddingReport, reader

_read = reader(COLUMNS)


class Tally:
    """Of one wedding; what a `WeddingReport` says. It counts by itself, and as a row of `Tallies` while it is one.

    `counts[base + column]` is one figure. `fenced`: a drill's.
    """

    __slots__ = ("base", "counts", "fenced", "latency", "name", "timed")

    def __init__(self, name: str, *, fenced: bool = False) -> None:
        self.name = name
        self.fenced = fenced
        self.counts, self.base = array("q", bytes(8 * WIDTH)), 0
        self.counts[FENCED] = fenced
        self.latency: Buckets = {}
        self.timed: dict[str, Buckets] = {}

    def add(self, column: int, count: int) -> None:
        """So many more."""
        self.counts[self.base + column] += count

    def time(self, index: int, n: int) -> None:
        """So many deliveries of P0 or P1 in a bucket."""
        if not self.latency:
            self.timed[self.name] = self.latency
        count(self.latency, index, n)

    def report(self) -> WeddingReport:
        """As who reads a report sees it."""
        return _read(self.counts[self.base : self.base + WIDTH], self.latency)


class Tallies:
    """Of the weddings that are open here."""

    def __init__(self) -> None:
        self._counts = array("q")
        self._rows: dict[str, Tally] = {}
        """In the order of the array."""
        self._timed: dict[str, Buckets] = {}
        """Those with a latency: most weddings have none for most of the day."""
        self._names: msgspec.Raw | None = None

    def add(self, tally: Tally) -> None:
        """From now on it is reported."""
        self.remove(tally.name)
        base = len(self._counts)
        self._counts.extend(tally.counts)
        self._move(tally, self._counts, base, self._timed)
        self._rows[tally.name], self._names = tally, None

    def remove(self, name: str) -> None:
        """It is not any more. What it counts from now on is its own affair."""
        if (tally := self._rows.pop(name, None)) is None:
            return
        base, self._names = tally.base, None
        own = self._counts[base : base + WIDTH]
        del self._counts[base : base + WIDTH]
        for other in self._rows.values():
            if other.base > base:
                other.base -= WIDTH
        self._timed.pop(name, None)
        self._move(tally, own, 0, {})

    @staticmethod
    def _move(tally: Tally, counts: array[int], base: int, timed: dict[str, Buckets]) -> None:
        tally.counts, tally.base, tally.timed = counts, base, timed
        if tally.latency:
            timed[tally.name] = tally.latency

    def packed(self) -> Packed:
        """All of them, to be sent at once: histograms are not copied."""
        if self._names is None:
            self._names = msgspec.Raw(msgspec.msgpack.encode(list(self._rows)))
        return Packed(self._names, self._counts.tobytes(), self._timed)
