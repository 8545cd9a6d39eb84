"""How the fleet was: every ten seconds, and rolled up to longer stretches."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Self

import msgspec
from django.db import models

from monitoring.rollup import HISTOGRAMS, Summary
from realtime.histogram import Buckets

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, list[int]]).decode


def packed(histograms: dict[str, Buckets]) -> bytes:
    """MessagePack of {name: [index, count, distance to the next index, its count, ...]}: two or three bytes a bucket."""
    flat: dict[str, list[int]] = {}
    for name, buckets in histograms.items():
        last, numbers = 0, []
        for index in sorted(buckets):
            numbers += [index - last, buckets[index]]
            last = index
        flat[name] = numbers
    return _encode(flat)


def unpacked(raw: bytes) -> dict[str, Buckets]:
    """The other way round."""
    return {name: dict(zip(accumulate(numbers[::2]), numbers[1::2], strict=True)) for name, numbers in _decode(raw).items()}


class Sample(models.Model):
    """One `monitoring.rollup.Summary`: the columns are its fields, which say what they mean."""

    step_s = models.PositiveIntegerField("length", help_text="Seconds: 10 as seen, all others rolled up.")
    scope = models.CharField("worker", max_length=80, blank=True, help_text="Its slot; empty: all workers together.")
    at = models.DateTimeField(help_text="When it began.")
    covered_ms = models.PositiveBigIntegerField("watched, ms")
    counted_ms = models.PositiveBigIntegerField("counted in, ms", null=True, help_text="Empty: in what was watched.")
    connections_ms = models.PositiveBigIntegerField()
    connections_least = models.PositiveIntegerField(null=True)
    connections_most = models.PositiveIntegerField(null=True)
    connections_last = models.PositiveIntegerField(null=True)
    roles_ms = models.JSONField(default=dict)
    workers_ms = models.PositiveBigIntegerField()
    workers_least = models.PositiveIntegerField(null=True)
    workers_most = models.PositiveIntegerField(null=True)
    wanted_last = models.PositiveIntegerField(null=True)
    weddings_most = models.PositiveIntegerField(null=True)
    cpu_us = models.PositiveBigIntegerField()
    cpu_known_ms = models.PositiveBigIntegerField()
    busy_most = models.FloatField(null=True)
    lag_s_most = models.FloatField(null=True)
    rss_bytes_most = models.PositiveBigIntegerField(null=True)
    outbox_bytes_ms = models.PositiveBigIntegerField()
    outbox_bytes_most = models.PositiveBigIntegerField(null=True)
    publications = models.PositiveBigIntegerField()
    deliveries = models.PositiveBigIntegerField()
    joins = models.PositiveBigIntegerField()
    joins_refused = models.PositiveBigIntegerField()
    shed = models.PositiveBigIntegerField()
    too_slow = models.PositiveBigIntegerField()
    faults = models.PositiveBigIntegerField(null=True, help_text="Gaps, doubles and order faults that clients reported.")
    latency = models.BinaryField()
    acked = models.BinaryField()

    class Meta:
        ordering = ["-at", "scope"]
        constraints = [models.UniqueConstraint(fields=["step_s", "scope", "at"], name="sample_once")]
        indexes = [models.Index(fields=["step_s", "at"], name="sample_age")]

    def __str__(self) -> str:
        return f"{self.scope or 'all workers'}, {self.step_s} s from {self.at:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def of(cls, step_s: int, scope: str, start_s: int, summary: Summary) -> Self:
        """The row of a summary, not saved."""
        values: dict[str, Any] = {name: getattr(summary, name) for name in COLUMNS}
        values |= {name: packed(getattr(summary, name)) for name in HISTOGRAMS}
        return cls(step_s=step_s, scope=scope[:80], at=datetime.fromtimestamp(start_s, UTC), **values)

    def summary(self) -> Summary:
        """What was stored."""
        values: dict[str, Any] = {name: getattr(self, name) for name in COLUMNS}
        values |= {name: unpacked(bytes(getattr(self, name))) for name in HISTOGRAMS}
        return Summary(**values | {"counted_ms": counted_ms(self.counted_ms, self.covered_ms)})


def counted_ms(stored: int | None, covered_ms: int) -> int:
    """What a release that does not know of it has left empty."""
    return covered_ms if stored is None else stored


COLUMNS = tuple(name for name in Summary.__struct_fields__ if name not in HISTOGRAMS)
