"""May this day come? PURE: what is known about it in, GO or NO-GO with reasons out.

What is not known stops as much as what is wrong: a day is ready when somebody has looked.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Literal

from msgspec import Struct

Verdict = Literal["ok", "risk", "stop"]

REQUIRED = ("load", "storm", "kill", "deploy", "slow-clients", "poison")
"""Drills that cover what happens on any Saturday: load, a network that blinks, a crash, a release, bad phones, bad input."""
REQUIRED_WITH_REDIS = ("redis-kill",)
SIZED = ("load", "storm")
"""Those that are about size: with fewer people than are expected they say little."""
DRILL_AGE = timedelta(days=7)
"""The weekly drills of ops.md 5.3."""
PAGE_AGE = timedelta(days=7)
CALIBRATION_AGE = timedelta(days=30)
HEADROOM = 1.25
"""More people than the forecast: what a fleet of one must carry, as it cannot lose a worker."""
DISK_RISK, DISK_STOP = 0.2, 0.1


class PageTest(Struct, frozen=True):
    """What became of the last test page. Times are aware UTC; `reached` and `missed` name receivers."""

    sent_at: datetime
    by: str
    reached: tuple[str, ...]
    missed: tuple[str, ...]
    acknowledged_at: datetime | None
    acknowledged_by: str


class Drilled(Struct, frozen=True):
    """The last runs of one drill. None: never. `people`: the most it passed with within `DRILL_AGE`, None where nobody said."""

    passed_at: datetime | None
    failed_at: datetime | None
    people: int | None = None


class Capacity(Struct, frozen=True):
    """What one worker carries, as `drill calibrate` measured it."""

    connections: int
    measured_at: datetime


class Step(Struct, frozen=True):
    """The scaler's plan: from then on so many workers."""

    at: datetime
    workers: int


class Facts(Struct, frozen=True):
    """What is known about a day. None: it could not be found out."""

    day: date
    weddings: int
    unknown: tuple[str, ...] = ()
    """Weddings that say nothing about how many people come."""
    peak: int | None = None
    peak_at: datetime | None = None
    capacity: Capacity | None = None
    workers_max: int | None = None
    redis: bool = False
    drills: dict[str, Drilled] = {}
    rehearsed_at: datetime | None = None
    """When the calendar of this very day was last rehearsed with success."""
    page: PageTest | None = None
    watched: bool = False
    """Whether alerts are being evaluated now: else none is firing because nobody looks."""
    firing: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()
    silences: tuple[str, ...] = ()
    """Silences of what pages that reach into the day."""
    disk_free: float | None = None
    plan: tuple[Step, ...] = ()


class Check(Struct, frozen=True):
    """One question: what was found, and what to do about it."""

    name: str
    verdict: Verdict
    said: str
    do: str = ""


class Readiness(Struct, frozen=True):
    """The answer. `line` is for the planner's boss."""

    day: date
    go: bool
    line: str
    checks: list[Check]

    @property
    def reasons(self) -> list[Check]:
        """What stands in the way."""
        return [check for check in self.checks if check.verdict == "stop"]


def judge(facts: Facts, now: datetime) -> Readiness:
    """GO when nothing stops. A risk is told and does not stop."""
    checks = [
        _forecast(facts),
        _capacity(facts, now),
        _plan(facts),
        *_drills(facts, now),
        _rehearsal(facts),
        _paging(facts, now),
        *_open(facts),
        _disk(facts),
    ]
    go = all(check.verdict != "stop" for check in checks)
    return Readiness(facts.day, go, _line(facts, go), checks)


def _line(facts: Facts, go: bool) -> str:
    parts = [_count(facts.weddings, "wedding")]
    if facts.peak is not None and facts.peak_at is not None:
        parts.append(f"forecast peak {facts.peak:,} people at {facts.peak_at:%H:%M %Z}")
    if facts.capacity and facts.workers_max:
        parts.append(f"measured for {facts.capacity.connections * facts.workers_max:,}")
    return f"{facts.day:%A %d %B %Y}: {', '.join(parts)}: {'GO' if go else 'NO-GO'}"


def _forecast(facts: Facts) -> Check:
    if not facts.weddings:
        return Check("forecast", "ok", "No wedding is on that day.")
    if facts.peak is None or facts.peak_at is None:
        return Check("forecast", "stop", "How many people will come is not known.", "Enter guests and vendors of the weddings.")
    said = f"{_count(facts.weddings, 'wedding')}, at most {facts.peak:,} people at {facts.peak_at:%H:%M %Z}."
    if facts.unknown:
        names = _names(facts.unknown)
        return Check("forecast", "risk", f"{said} Not counted, they say nothing: {names}.", "Enter their guests and vendors.")
    return Check("forecast", "ok", said)


def _capacity(facts: Facts, now: datetime) -> Check:
    if facts.capacity is None:
        return Check("capacity", "stop", "Nobody has measured what a worker carries.", "Run manage.py drill calibrate.")
    if facts.workers_max is None:
        said = "No worker is running, and nobody said how many there may be."
        return Check("capacity", "stop", said, "Start the fleet, or say --workers N.")
    each, count, need = facts.capacity.connections, facts.workers_max, facts.peak or 0
    spare = count > 1
    carries = each * (count - 1) if spare else round(each / HEADROOM)
    who = f"{count - 1} of {count} workers carry" if spare else "The only worker carries, with a quarter in reserve,"
    said = f"{who} {carries:,} people; {need:,} are expected."
    if carries < need:
        return Check("capacity", "stop", said, "Raise --workers, or use a larger machine and calibrate again.")
    if now - facts.capacity.measured_at > CALIBRATION_AGE:
        return Check(
            "capacity", "risk", f"{said} Measured {_ago(now, facts.capacity.measured_at)}.", "Run manage.py drill calibrate."
        )
    if not spare and facts.weddings:
        return Check("capacity", "risk", f"{said} When it dies everybody waits for its restart.", "Run at least two workers.")
    return Check("capacity", "ok", said)


def _plan(facts: Facts) -> Check:
    if not facts.plan and not facts.weddings:
        return Check("plan", "ok", "Nothing has to be planned.")
    if not facts.plan:
        return Check("plan", "risk", "What the scaler would do is not known.", "Mend forecast and capacity first.")
    most = max(facts.plan, key=lambda step: step.workers)
    said = f"{_count(len(facts.plan), 'step')}, at most {_count(most.workers, 'worker')} from {most.at:%H:%M %Z}."
    if facts.workers_max is not None and most.workers > facts.workers_max:
        return Check("plan", "stop", f"{said} Only {facts.workers_max} are allowed.", "Raise the scaler's maximum.")
    return Check("plan", "ok", said)


def _drills(facts: Facts, now: datetime) -> Iterable[Check]:
    for name in REQUIRED + (REQUIRED_WITH_REDIS if facts.redis else ()):
        ran, do = facts.drills.get(name, Drilled(None, None)), f"Run manage.py drill {name}."
        if ran.failed_at and (ran.passed_at is None or ran.failed_at > ran.passed_at):
            yield Check(f"drill {name}", "stop", f"It failed {_ago(now, ran.failed_at)}.", "Mend what its report names. " + do)
        elif ran.passed_at is None:
            yield Check(f"drill {name}", "stop", "It has never passed here.", do)
        elif now - ran.passed_at > DRILL_AGE:
            yield Check(f"drill {name}", "stop", f"It passed {_ago(now, ran.passed_at)}, which is too long.", do)
        elif name in SIZED and ran.people is not None and ran.people < (facts.peak or 0):
            said = f"It passed {_ago(now, ran.passed_at)}, with {ran.people:,} people; {facts.peak:,} are expected."
            yield Check(f"drill {name}", "risk", said, f"Run manage.py drill {name} --connections {facts.peak}.")
        else:
            yield Check(f"drill {name}", "ok", f"It passed {_ago(now, ran.passed_at)}.")


def _rehearsal(facts: Facts) -> Check:
    if not facts.weddings:
        return Check("rehearsal", "ok", "There is nothing to rehearse.")
    if facts.rehearsed_at is None:
        return Check(
            "rehearsal", "risk", "This day's calendar was not rehearsed.", f"Run manage.py drill rehearsal --date {facts.day}."
        )
    return Check("rehearsal", "ok", f"This day's calendar was rehearsed on {facts.rehearsed_at:%a %d %b}.")


def _paging(facts: Facts, now: datetime) -> Check:
    page, do = facts.page, "Run manage.py drill page-me --wait and acknowledge the page in the admin, under Alerts."
    if page is None:
        return Check("paging", "stop", "Nobody has tried whether a page reaches somebody.", do)
    if page.missed or not page.reached:
        who = (
            f"these receivers: {_names(page.missed)}" if page.missed else "anybody: no receiver takes pages of the whole fleet"
        )
        return Check("paging", "stop", f"The last test page did not reach {who}.", do)
    if page.acknowledged_at is None:
        return Check("paging", "stop", "Nobody acknowledged the last test page.", do)
    if now - page.acknowledged_at > PAGE_AGE:
        return Check("paging", "stop", f"The last test was {_ago(now, page.acknowledged_at)}, which is too long.", do)
    took_s = round((page.acknowledged_at - page.sent_at).total_seconds())
    return Check("paging", "ok", f"{page.acknowledged_by} acknowledged a test page after {took_s} s.")


def _open(facts: Facts) -> Iterable[Check]:
    if facts.firing:
        yield Check("alerts", "stop", f"Pages are firing: {_names(facts.firing)}.", "End what they are about.")
    elif not facts.watched:
        said = "Nobody evaluates alerts: no control loop has ticked lately."
        yield Check("alerts", "stop", said, "Start the fleet, or look why its control loop stands still.")
    else:
        yield Check("alerts", "ok", "No page is firing.")
    if facts.incidents:
        yield Check("incidents", "risk", f"Not closed: {_names(facts.incidents)}.", "Write down what it was and close it.")
    if facts.silences:
        yield Check("silences", "risk", f"In force on the day: {_names(facts.silences)}.", "End them before it begins.")


def _disk(facts: Facts) -> Check:
    if facts.disk_free is None:
        return Check("disk", "risk", "How full the disk is could not be read.", "Look at it yourself.")
    said, do = f"{facts.disk_free:.0%} of the disk is free.", "Run manage.py prune_journal and prune_history."
    if facts.disk_free < DISK_STOP:
        return Check("disk", "stop", said, do)
    return Check("disk", "risk", said, do) if facts.disk_free < DISK_RISK else Check("disk", "ok", said)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _ago(now: datetime, then: datetime) -> str:
    hours = round(max(0.0, (now - then).total_seconds() / 3_600))
    return f"{_count(hours, 'hour')} ago" if hours < 48 else f"{_count(round(hours / 24), 'day')} ago"
