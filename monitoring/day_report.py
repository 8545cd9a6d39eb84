"""What a wedding's day was like, in figures that can be checked. PURE: counts in, a report out; and its signature.

Sent comes from the journal and is exact. Delivered, replayed, faults, latency and people come from the minutes that monitoring
kept while it ran; a minute without a record is said to be missing, and nothing is put in its place.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import ceil

import msgspec
from msgspec import Struct

from realtime.histogram import Buckets, beyond, merged, quantile_s

MINUTE = timedelta(minutes=1)
LINE_MS = 100.0
"""The promise of the product: under this from publisher to screen."""


class Minute(Struct, frozen=True):
    """One recorded minute of one wedding, all its workers together."""

    at: datetime
    connections: dict[str, float]
    """{role: people connected, mean of the minute}."""
    deliveries: int
    replayed: int
    faults: int
    latency: Buckets
    """P0 and P1."""


class Journalled(Struct, frozen=True):
    """What the journal holds of the day."""

    sent: dict[str, int]
    """{priority: publications}, P0 to P2."""
    by_kind: dict[str, int]
    first_offset: int | None
    last_offset: int | None
    missing: int
    """Offsets between the first and the last that are not there."""
    pruned: bool = False
    """Old entries have been deleted on purpose, so `sent` is of what is left."""


class Trouble(Struct, frozen=True):
    """Something that went wrong while the wedding was on, for it or for everybody."""

    began: datetime
    ended: datetime | None
    what: str
    done: list[str]


class Wedding(Struct, frozen=True):
    """Whose day it is; times of the window in the venue's zone."""

    slug: str
    names: str
    venue: str
    timezone: str
    start: datetime
    end: datetime


class Latency(Struct, frozen=True):
    """Milliseconds from the publisher's socket to the recipients', P0 and P1. Each within 2.2 %: the edge of its bucket."""

    deliveries: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    late: int
    """Over LINE_MS."""


class Point(Struct, frozen=True):
    """A minute of the charts. None: nothing was delivered in it."""

    at: datetime
    people: float
    p99_ms: float | None


class DayReport(Struct, frozen=True):
    """What is signed. None is what could not be measured; `not_measured` says why."""

    wedding: Wedding
    made_at: datetime
    sent: dict[str, int]
    sent_by_kind: dict[str, int]
    lost_in_journal: int
    delivered: int | None
    replayed: int | None
    faults: int | None
    latency: Latency | None
    connected_minutes: dict[str, int] | None
    most_people: int | None
    troubles: list[Trouble]
    not_measured: list[str]
    minutes: list[Point]

    @property
    def kept(self) -> bool | None:
        """Whether the promise was: nothing lost, and at most one urgent delivery in a thousand late. None: not known."""
        if self.lost_in_journal or self.faults:
            return False
        if self.faults is None or self.latency is None:
            return None
        return self.latency.late <= self.latency.deliveries / 1_000


def percentile_ms(buckets: Buckets, share: float) -> float:
    """`quantile_s` of buckets that are not empty, as it is written down."""
    return round((quantile_s(buckets, share) or 0.0) * 1_000, 2)


def latency(buckets: Buckets) -> Latency | None:
    """Percentiles of a merged histogram, None when it is empty."""
    total = sum(buckets.values())
    if not total:
        return None
    p50, p95, p99 = (percentile_ms(buckets, share) for share in (0.5, 0.95, 0.99))
    return Latency(total, p50, p95, p99, beyond(buckets, LINE_MS / 1_000))


def _not_measured(wedding: Wedding, journal: Journalled, minutes: Sequence[Minute], made_at: datetime) -> list[str]:
    # In UTC: two times of one zone are compared and subtracted by what the clock on the wall says.
    start, end, made = (at.astimezone(UTC) for at in (wedding.start, wedding.end, made_at))
    recorded = {minute.at for minute in minutes}
    wanted = max(0, ceil((min(end, made) - start) / MINUTE))
    absent = max(0, wanted - len(recorded))
    notes = ["How many reactions, positions and signs of presence were sent: they are not kept, by design."]
    if made < end:
        notes.append(f"The rest of the day: this was made at {made_at:%H:%M}, before the day's end at {wedding.end:%H:%M}.")
    if absent:
        notes.append(f"{absent} of {wanted} minutes: monitoring has no record of them, nobody was connected or it did not run.")
    if journal.pruned:
        notes.append("Publications that were pruned from the journal before this report was made.")
    return notes


def build(
    wedding: Wedding,
    journal: Journalled,
    minutes: Sequence[Minute],
    troubles: Sequence[Trouble],
    made_at: datetime,
    left_out: int = 0,
) -> DayReport:
    """The report of the window of `wedding`, so far as it is over at `made_at`. `left_out`: troubles that are not listed."""
    notes = _not_measured(wedding, journal, minutes, made_at)
    if left_out:
        notes.append(f"What came after the first {len(troubles)} troubles: {left_out} more are not listed here.")
    all_of_it = merged(minute.latency for minute in minutes)
    roles: dict[str, float] = {}
    for minute in minutes:
        for role, people in minute.connections.items():
            roles[role] = roles.get(role, 0.0) + people
    if not all_of_it:
        notes.append("Latency: no urgent publication was delivered in a recorded minute.")
    return DayReport(
        wedding=wedding,
        made_at=made_at,
        sent=journal.sent,
        sent_by_kind=journal.by_kind,
        lost_in_journal=journal.missing,
        delivered=sum(minute.deliveries for minute in minutes) if minutes else None,
        replayed=sum(minute.replayed for minute in minutes) if minutes else None,
        faults=sum(minute.faults for minute in minutes) if minutes else None,
        latency=latency(all_of_it),
        connected_minutes={role: round(people) for role, people in sorted(roles.items())} if minutes else None,
        most_people=max((round(sum(minute.connections.values())) for minute in minutes), default=None),
        troubles=list(troubles),
        not_measured=notes,
        minutes=[_point(minute) for minute in minutes],
    )


def _point(minute: Minute) -> Point:
    p99_ms = percentile_ms(minute.latency, 0.99) if minute.latency else None
    return Point(minute.at, round(sum(minute.connections.values()), 1), p99_ms)


class Signed(Struct, frozen=True):
    """The file: the report and an HMAC-SHA256 over its bytes, hex."""

    report: msgspec.Raw
    signature: str


_encode = msgspec.json.Encoder(order="deterministic").encode


def sign(report: DayReport, key: bytes) -> bytes:
    """The file of a report. Its bytes are the only ones that verify: no space can be added, nothing moved."""
    body = _encode(report)
    return _encode(Signed(msgspec.Raw(body), _mac(body, key))) + b"\n"


def verify(file: bytes, keys: Sequence[bytes]) -> DayReport | None:
    """The report, when one of `keys` has signed exactly these bytes; else None."""
    try:
        signed = msgspec.json.decode(file, type=Signed)
        report = msgspec.json.decode(signed.report, type=DayReport)
    except msgspec.MsgspecError:
        return None
    if file != _encode(signed) + b"\n":
        return None
    good = any(hmac.compare_digest(_mac(bytes(signed.report), key).encode(), signed.signature.encode()) for key in keys)
    return report if good else None


def window_of(file: bytes) -> tuple[datetime, datetime] | None:
    """(start, end) of the day that a file is about, whoever signed it. None: it is no report."""
    try:
        report = msgspec.json.decode(msgspec.json.decode(file, type=Signed).report, type=DayReport)
    except msgspec.MsgspecError:
        return None
    return report.wedding.start, report.wedding.end


def _mac(body: bytes, key: bytes) -> str:
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def path(values: Sequence[float | None], width: float, height: float, top: float) -> str:
    """An SVG path through `values` (0 to `top`), left to right; a None lifts the pen."""
    step = width / max(1, len(values) - 1)
    parts, down = [], False
    for place, value in enumerate(values):
        if value is not None:
            y = height - min(value, top) / top * height
            parts.append(f"{'L' if down else 'M'}{place * step:.1f} {y:.1f}")
        down = value is not None
    return " ".join(parts)
