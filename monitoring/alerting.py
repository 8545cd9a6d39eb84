"""Reads, evaluates, writes down: the alerts of a fleet, once a second, by the holder of the control lease."""

from __future__ import annotations

import logging
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Model, Q

from monitoring import confirmations, incidents
from monitoring.alerts import SEVERITIES, Alert, Change, Labels, Mute, Rule, evaluate, shifted
from monitoring.happenings import Happenings
from monitoring.models import alerts as rows
from monitoring.router import ALIAS
from monitoring.signals import Signals, Table, of
from monitoring.slo import DAY_H
from realtime.fence import fenced
from realtime.report import WorkerReport

logger = logging.getLogger(__name__)
Row = TypeVar("Row", bound=Model)
Value = TypeVar("Value")

REFRESH_S = 2.0
"""How soon a rule, a silence or an acknowledgement of the admin counts."""
SAVE_S = 10.0
"""How often the open rows are brought up to date when only their value has changed."""
ASK_S = 5.0
"""How often it is asked, while nothing fires and there was no incident, whether one is to hear of what happens."""
UNSAVED_MAX = 5_000
"""Changes kept while the history database is away; beyond it the oldest go and it is said in the log."""
REMIND_AFTER = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60))
"""A page that nobody acknowledged is told again (ops.md 4.5)."""
NOTICE_ALERTS_MAX = 100
"""Alerts in one notice, at most 200 KB: a receiver that is told of everything at once still takes it."""
TEXT_CHARS = 1_000
HAPPENED_MAX = 500
"""Of the last ten minutes, for an incident that may begin now."""
UNSEEN, WAITING = "emergency.unseen", "notice.waiting"
ABOUT_PEOPLE = frozenset({UNSEEN, WAITING})
"""Somebody has to be called: more or fewer workers change nothing about it."""


class Alerting:
    """Make a new one whenever the control lease is taken: it goes on with the alerts that are open in the database."""

    def __init__(self, disk: Path | None = None) -> None:
        self._disk = disk or settings.VAR_DIR
        self._signals = Signals(settings.REALTIME.day_h / DAY_H)
        self._refreshed_s = self._saved_s = self._asked_s = float("-inf")
        self._restored = self._incident = False
        self._rules: list[Rule] = []
        self._mutes: list[Mute] = []
        self._signal: dict[str, str] = {}
        self._from_database: Table = {}
        self._who: dict[Labels, str] = {}
        self._weddings: set[str] = set()
        self._alerts: dict[str, Alert] = {}
        self._written: dict[str, tuple[str, str]] = {}
        self._unsaved: deque[tuple[Change, datetime]] = deque(maxlen=UNSAVED_MAX)
        self._happenings = Happenings()
        self._happened: deque[tuple[datetime, str, str]] = deque(maxlen=HAPPENED_MAX)

    def step(
        self,
        reports: Sequence[WorkerReport] | None,
        now: datetime,
        happened: Iterable[tuple[str, str]] = (),
        ahead_s: float = 0.0,
    ) -> list[Alert]:
        """All alerts that are not simply ok, after these reports (None: they could not be read). `happened`: what else is for
        the time line of an incident, as (kind of `IncidentEvent`, text): decisions of the scaler, moves. `ahead_s`: how far
        `now` has been set back since this began; durations go on. Never raises for a database that is away: what changed is
        written, and told, when it is back."""
        now_s = now.timestamp() + ahead_s
        if reports is not None:
            self._weddings = {name for report in reports for name in report.weddings if not fenced(name)}
        if now_s - self._refreshed_s >= REFRESH_S:
            self._refresh(now, ahead_s)
            self._refreshed_s = now_s
        table = self._signals.read(reports, now_s, ahead_s) | self._from_database | {"disk.free": {(): free_share(self._disk)}}
        done = evaluate(self._rules, table, self._alerts, now_s, self._mutes)
        self._alerts = {fingerprint: self._named(alert) for fingerprint, alert in done.alerts.items()}
        for change in (Change(self._named(change.alert), change.before) for change in done.changes):
            logger.warning("%s: %s", headline(change.alert), change.alert.reason)
            self._unsaved.append((Change(shifted(change.alert, -ahead_s, now.timestamp()), change.before), now))
        news = [(happening.kind, happening.text) for happening in self._happenings.step(reports)]
        self._happened.extend((now, kind, text) for kind, text in [*news, *happened])
        while self._happened and now - self._happened[0][0] > incidents.BEFORE:
            self._happened.popleft()
        self._save(now, ahead_s)
        return sorted(self._alerts.values(), key=lambda alert: (alert.rule, alert.labels))

    def broken(self) -> str:
        """The rule of a page about deliveries or machines that fires, "" for none: until it is over no worker is taken away."""
        pages = (alert.rule for alert in self._alerts.values() if alert.active and alert.severity == "page")
        return min((rule for rule in pages if self._signal.get(rule) not in ABOUT_PEOPLE), default="")

    def _named(self, alert: Alert) -> Alert:
        """The alert with the people it is about in its reason. Never in its labels, which other systems keep."""
        who = self._who.get(alert.labels) if self._signal.get(alert.rule) == UNSEEN else None
        return msgspec.structs.replace(alert, reason=f"{alert.reason}: {who}") if who and alert.active else alert

    def _refresh(self, now: datetime, ahead_s: float) -> None:
        now_s = now.timestamp() + ahead_s
        try:
            open_rows = [] if self._restored else rows.Alert.objects.filter(resolved_at=None).exclude(kept={})
            kept = read_each(open_rows, lambda row: shifted(msgspec.convert(row.kept, Alert), ahead_s, now_s))
            rules = read_each(rows.AlertRule.objects.filter(enabled=True), lambda rule: rule.as_rule)
            silences = rows.Silence.objects.filter(starts_at__lte=now, ends_at__gt=now)
            mutes = read_each(silences, lambda silence: silence.as_mute)
            # All of it or nothing: alerts without their rules would be over.
            self._alerts |= {alert.fingerprint: alert for alert in kept}
            self._rules, self._mutes, self._restored = rules, mutes, True
            self._signal = {rule.name: rule.signal for rule in rules}
            by_name = {rule.name: rule for rule in rules}
            for alert in kept:
                rule = by_name.get(alert.rule)
                # Who was back by then is not missing: its alert only waits to be over.
                if rule and alert.read_s is not None and alert.value is not None and rule.raised(alert.value):
                    self._signals.recall(self._signal.get(alert.rule, ""), alert.labels, alert.read_s - alert.value)
            self._from_database = {WAITING: waiting(now, ahead_s)}
            remind(now, ahead_s)
        except DatabaseError as error:
            self._from_database = {}
            logger.error("alerts go on with the rules they have: the history database does not answer: %s", error)
        try:
            self._from_database[UNSEEN], self._who = confirmations.check(self._weddings, now)
        except DatabaseError as error:
            logger.error("who has confirmed an emergency is not known: the journal's database does not answer: %s", error)

    def _save(self, now: datetime, ahead_s: float) -> None:
        """Write down what changed, and tell. Nothing of it is lost when it fails: it is tried again with the next step."""
        now_s = now.timestamp() + ahead_s
        all_of_them = now_s - self._saved_s >= SAVE_S
        stale = [a for a in self._alerts.values() if a.told and (all_of_them or self._written.get(a.fingerprint) != _mark(a))]
        try:
            # No transaction without something to write: on SQLite it would lock the file, every second.
            if not (self._unsaved or stale or self._gathers(now, now_s)):
                return
            with transaction.atomic(using=ALIAS):
                record(list(self._unsaved))
                for alert in stale:
                    fields = _fields(shifted(alert, -ahead_s, now.timestamp()))
                    rows.Alert.objects.filter(fingerprint=alert.fingerprint, resolved_at=None).update(**fields)
                gathered = bool(self._happened) and incidents.gather(self._happened, now)
        except DatabaseError as error:
            logger.error("%d changes of alerts wait for the history database: %s", len(self._unsaved), error)
            return
        self._unsaved.clear()
        if gathered:
            self._happened.clear()
        self._written = {alert.fingerprint: _mark(alert) for alert in self._alerts.values() if alert.told}
        if all_of_them:
            self._saved_s = now_s

    def _gathers(self, now: datetime, now_s: float) -> bool:
        """Whether an incident wants what happened."""
        due = self._incident or now_s - self._asked_s >= ASK_S or any(alert.told for alert in self._alerts.values())
        if not self._happened or not due:
            return False
        self._asked_s, self._incident = now_s, incidents.current(now) is not None
        return self._incident


def read_each(found: Iterable[Row], read: Callable[[Row], Value]) -> list[Value]:
    """What `read` makes of each row. One of which it can make nothing is left out and said. Raises DatabaseError."""
    values: list[Value] = []
    for row in found:
        try:
            values.append(read(row))
        except Exception as error:  # whatever stands in one row, all others count
            logger.error("%s %s cannot be read and is left out: %r", row._meta.verbose_name, row.pk, error)
    return values


def free_share(folder: Path) -> float | None:
    """What is free of the disk with this folder, None when it cannot be asked."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free / usage.total if usage.total else None


def headline(alert: Alert) -> str:
    """An alert in the log."""
    subject = " ".join(f"{name}={value}" for name, value in alert.labels)
    return f"{alert.severity} {alert.told or 'over'}: {alert.rule} {subject}".strip()


def _mark(alert: Alert) -> tuple[str, str]:
    return alert.state, alert.muted


def _fields(alert: Alert) -> dict[str, Any]:
    return {
        "severity": alert.severity,
        "state": alert.state,
        "told": alert.told,
        "muted": alert.muted[:200],
        "value": alert.value,
        "worst": alert.worst,
        "reason": alert.reason[: rows.RESULT_CHARS],
        "kept": msgspec.to_builtins(alert),
    }


def record(changes: list[tuple[Change, datetime]]) -> None:
    """Alerts, incidents and the notices about them, in the order in which they happened; inside the caller's transaction."""
    about = {rule.name: rule for rule in rows.AlertRule.objects.all()} if changes else {}
    told: list[tuple[rows.Alert, datetime]] = []
    for change, at in changes:
        alert = change.alert
        # Held: who acknowledges it at this moment is not overwritten.
        row = rows.Alert.objects.select_for_update().filter(fingerprint=alert.fingerprint, resolved_at=None).first()
        if row is None:
            if not alert.told:
                continue
            raised_at = datetime.fromtimestamp(alert.raised_s, at.tzinfo)
            row = rows.Alert(fingerprint=alert.fingerprint, rule=alert.rule, labels=dict(alert.labels), raised_at=raised_at)
            row.fired_at = at
        last_told = row.told
        for name, value in _fields(alert).items():
            setattr(row, name, value)
        if not alert.told:
            row.told, row.resolved_at = last_told, at
        row.save()
        incidents.follow(row, summary(row, about.get(row.rule)), at)
        told.append((row, at))
    notify([(content(row, about.get(row.rule)), at) for row, at in told])


def summary(row: rows.Alert, rule: rows.AlertRule | None) -> str:
    """One line: what is wrong, with what."""
    title = rule.title if rule else row.rule
    text = f"{title} ({row.subject})" if row.labels else title
    if row.told == "flapping" and not row.resolved_at:
        return f"Flapping: {text}"
    if row.told == "no_data" and not row.resolved_at:
        return f"Not known, no readings: {text}"
    return text


def content(row: rows.Alert, rule: rows.AlertRule | None, extra: str = "") -> dict[str, Any]:
    """The alert as receivers get it."""
    return {
        "status": "resolved" if row.resolved_at else "firing",
        "labels": {"alertname": row.rule, "severity": row.severity, "source": "wedsync"} | row.labels,
        "annotations": {
            "summary": summary(row, rule)[:TEXT_CHARS],
            "description": f"{extra}{row.reason}"[:TEXT_CHARS],
            "what_to_do": (rule.what_to_do if rule else "The rule is gone; look at the dashboard.")[:TEXT_CHARS],
        },
        "startsAt": row.fired_at.isoformat(),
        "endsAt": row.resolved_at.isoformat() if row.resolved_at else None,
        "fingerprint": row.fingerprint,
    }


def notify(news: list[tuple[dict[str, Any], datetime]]) -> None:
    """Rows of the outbox, for every receiver that wants them; what comes together goes together."""
    if not news:
        return
    for receiver in rows.Receiver.objects.filter(enabled=True):
        wanted = [(alert, at) for alert, at in news if receiver.wants(alert["labels"])]
        for start in range(0, len(wanted), NOTICE_ALERTS_MAX):
            part = wanted[start : start + NOTICE_ALERTS_MAX]
            severities = {alert["labels"]["severity"] for alert, _ in part}
            rows.Notice.objects.create(
                receiver=receiver,
                severity=max(severities, key=SEVERITIES.index),
                content=[alert for alert, _ in part],
                created_at=part[0][1],
                next_try_at=part[0][1],
            )


def age(at: datetime, now: datetime, ahead_s: float) -> timedelta:
    """How long ago something was written down, perhaps before `now` was set back by `ahead_s`."""
    return now - at if at <= now else max(timedelta(), now + timedelta(seconds=ahead_s) - at)


def remind(now: datetime, ahead_s: float = 0.0) -> None:
    """Tell a page again that nobody acknowledged in time. `ahead_s`: see `Alerting.step`."""
    open_pages = rows.Alert.objects.filter(
        severity="page", resolved_at=None, acknowledged_at=None, muted="", reminders__lt=len(REMIND_AFTER)
    )
    for row in open_pages:
        waited = age(row.fired_at, now, ahead_s)
        due = sum(after <= waited for after in REMIND_AFTER)
        if due > row.reminders:
            with transaction.atomic(using=ALIAS):
                rows.Alert.objects.filter(pk=row.pk).update(reminders=due)
                rule = row.about({rule.name: rule for rule in rows.AlertRule.objects.filter(name=row.rule)})
                extra = f"Nobody has acknowledged this for {incidents.span(waited)}. "
                notify([(content(row, rule, extra), now)])


GIVEN_UP_S = 3_600.0


def waiting(now: datetime, ahead_s: float = 0.0) -> dict[Any, float | None]:
    """{receiver: seconds its oldest page has been waiting}; one given up within the last hour that no address has counts as an
    hour. That a receiver is not reached is no page that it misses, or it would never be over."""
    found: dict[Any, float | None] = {}
    pages = rows.Notice.objects.filter(severity="page", sent_at=None).order_by("pk")
    lost = Q(given_up_at__gt=now - timedelta(seconds=GIVEN_UP_S), reached="")
    for receiver in rows.Receiver.objects.filter(enabled=True):
        given_up, oldest = (
            next((notice for notice in some.iterator(chunk_size=10) if not _about_itself(notice, receiver)), None)
            for some in (pages.filter(lost, receiver=receiver), pages.filter(given_up_at=None, receiver=receiver))
        )
        waits_s = age(oldest.created_at, now, ahead_s).total_seconds() if oldest else 0.0
        found[of("receiver", receiver.name)] = GIVEN_UP_S if given_up else waits_s
    return found


def _about_itself(notice: rows.Notice, receiver: rows.Receiver) -> bool:
    return all(alert["labels"].get("receiver") == receiver.name for alert in notice.content)
