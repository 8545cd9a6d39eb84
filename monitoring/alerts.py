"""Who must be told what, now? PURE: rules, readings and the alerts of a moment ago in, alerts and what changed out.

A rule watches one signal. A signal is read for subjects: `{(("worker", "w2"),): 0.31}`, `()` being the whole fleet; None is a
reading that could not be taken. States of an alert (background: Prometheus `for` and `keep_firing_for`):

    ok -> pending (`for_s`) -> firing -> resolving (`keep_s`) -> ok        no_data: not ok, not known

What has been *told* is kept apart from what is so: an alert that flaps, is hidden by its cause or silenced goes on being
evaluated, and is told when that ends and it is still so. What was told as firing is always told as over, once that is known.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec
from msgspec import Struct

Labels = tuple[tuple[str, str], ...]
"""(name, value), sorted by name."""
Readings = Mapping[str, Mapping[Labels, float | None]]
"""{signal: {subject: value}}. A signal that is missing was not read at all; a subject that is missing no longer exists."""
State = Literal["ok", "pending", "firing", "resolving", "no_data"]
Severity = Literal["page", "ticket", "info"]
SEVERITIES: tuple[Severity, ...] = ("info", "ticket", "page")
"""From the least to the most urgent."""
Told = Literal["", "firing", "flapping", "no_data"]

CLEAR_SHARE = 0.8
"""Below this share of the threshold it is over: a value that trembles around the threshold is one alert (ops.md 4.5)."""
FLAPS = 4
FLAP_WINDOW_S = 600.0
FLAP_STABLE_S = 300.0
"""ops.md 4.5: four beginnings or ends in ten minutes are one notice, then silence until nothing has changed for five."""

STALE_S = 900.0
"""A firing alert without a reading goes on for so long; then nobody knows whether it is over, and that is said."""


class Rule(Struct, frozen=True):
    """When to tell somebody. Durations in seconds; thresholds in the unit of the signal."""

    name: str
    signal: str
    raise_at: float
    clear_at: float
    above: bool = True
    """Raised above `raise_at`; otherwise below it."""
    for_s: float = 0.0
    """So long it must be so before it fires."""
    keep_s: float = 60.0
    """So long it must be over before it is said to be."""
    no_data_s: float = 0.0
    """After so long without a reading that itself is told; 0: only of what was told as firing."""
    severity: Severity = "ticket"
    hidden_by: tuple[str, ...] = ()
    """Rules that explain this one: not told while one of them is raised for the same subject, or for all."""

    def raised(self, value: float) -> bool:
        return value > self.raise_at if self.above else value < self.raise_at

    def cleared(self, value: float) -> bool:
        return value <= self.clear_at if self.above else value >= self.clear_at


def clear_at(raise_at: float, *, above: bool) -> float:
    """The usual threshold of the end."""
    return raise_at * CLEAR_SHARE if above else raise_at / CLEAR_SHARE


class Mute(Struct, frozen=True):
    """A silence in force: alerts of `rule` ("" for any) whose labels contain `labels` are not told."""

    rule: str
    labels: Labels
    reason: str


class Alert(Struct, frozen=True):
    """One rule about one subject."""

    fingerprint: str
    rule: str
    labels: Labels
    severity: Severity
    """That of the rule; never less than what it was told as, so that the same people hear that it is over."""
    state: State
    since_s: float
    """UTC seconds when this state began."""
    raised_s: float
    """UTC seconds of the first reading of this episode that was beyond the threshold."""
    value: float | None = None
    """The last reading there was."""
    read_s: float | None = None
    """When that was."""
    worst: float | None = None
    reason: str = ""
    muted: str = ""
    """Why it is not told, "" when it is."""
    told: Told = ""
    edges: tuple[float, ...] = ()
    """When it began or ended, within FLAP_WINDOW_S."""
    flapping: bool = False

    @property
    def active(self) -> bool:
        return self.state in ("firing", "resolving")


class Change(Struct, frozen=True):
    """Something to tell: `alert.told` is the news, "" that it is over. `before` is what was told last."""

    alert: Alert
    before: Told


class Evaluation(Struct, frozen=True):
    """Every alert that is not simply ok, by fingerprint, and what is to be told."""

    alerts: dict[str, Alert]
    changes: list[Change]


def fingerprint(rule: str, labels: Labels) -> str:
    """One open alert per fingerprint: 16 hex digits of the rule's name and the subject."""
    return hashlib.sha256(repr((rule, labels)).encode()).hexdigest()[:16]


def shifted(alert: Alert, by_s: float, latest_s: float) -> Alert:
    """The alert on a clock that is `by_s` ahead of the one it is on. None of its times is after `latest_s`: that would be by a
    clock that has been set back since, and its holds begin anew."""

    def at(time_s: float) -> float:
        return min(time_s + by_s, latest_s)

    read_s = None if alert.read_s is None else at(alert.read_s)
    edges = tuple(at(edge_s) for edge_s in alert.edges)
    return msgspec.structs.replace(alert, since_s=at(alert.since_s), raised_s=at(alert.raised_s), read_s=read_s, edges=edges)


def evaluate(
    rules: Iterable[Rule], readings: Readings, active: Mapping[str, Alert], now_s: float, mutes: Iterable[Mute] = ()
) -> Evaluation:
    """The alerts after these readings. `now_s`: UTC seconds, since alerts outlive the process that looks after them."""
    by_rule: dict[str, list[Alert]] = {}
    for alert in active.values():
        by_rule.setdefault(alert.rule, []).append(alert)
    stepped: list[tuple[Rule | None, Alert]] = []
    for rule in rules:
        known = {alert.labels: alert for alert in by_rule.pop(rule.name, ())}
        measured = readings.get(rule.signal)
        for labels in (known.keys() | measured.keys()) if measured is not None else (known.keys() or {()}):
            gone = measured is not None and labels not in measured
            value = measured.get(labels) if measured else None
            alert_or_none = _step(rule, known.get(labels), labels, value, gone, now_s)
            if alert_or_none is not None:
                stepped.append((rule, alert_or_none))
    for alert in (alert for left in by_rule.values() for alert in left):
        over = {"state": "ok", "since_s": now_s, "reason": "the rule is switched off", "flapping": False}
        stepped.append((None, msgspec.structs.replace(alert, **over, edges=())))
    return _tell(stepped, list(mutes), now_s)


def _step(rule: Rule, before: Alert | None, labels: Labels, value: float | None, gone: bool, now_s: float) -> Alert | None:
    if value is not None and not math.isfinite(value):
        value = None
    if before is None:
        if gone or (value is not None and not rule.raised(value)):
            return None
        before = Alert(fingerprint(rule.name, labels), rule.name, labels, rule.severity, "ok", now_s, now_s)
    state = _next(rule, before, value, gone, now_s)
    fresh = before.state in ("ok", "no_data") and state in ("pending", "firing")
    alert = msgspec.structs.replace(
        before,
        severity=max(rule.severity, before.severity, key=SEVERITIES.index) if before.told else rule.severity,
        state=state,
        since_s=before.since_s if state == before.state else now_s,
        raised_s=now_s if fresh else before.raised_s,
        value=before.value if value is None else value,
        read_s=before.read_s if value is None else now_s,
        worst=_worst(rule, None if fresh else before.worst, value),
    )
    return msgspec.structs.replace(_flaps(before, alert, now_s), reason=_reason(rule, alert, value, gone, now_s))


def _next(rule: Rule, before: Alert, value: float | None, gone: bool, now_s: float) -> State:
    """The state after one reading. What is not known is neither raised nor over."""
    if value is None and not gone:
        read_s = before.since_s if before.read_s is None else before.read_s
        return "firing" if before.active and now_s - read_s < STALE_S else "no_data"
    raised = value is not None and rule.raised(value)
    over = value is None or rule.cleared(value)
    age_s = now_s - before.since_s
    match before.state:
        case "firing":
            return "resolving" if over else "firing"
        case "resolving" if not over:
            return "firing"
        case "resolving":
            return "ok" if age_s >= rule.keep_s else "resolving"
        case "pending" if raised:
            return "firing" if age_s >= rule.for_s else "pending"
        case _ if raised:
            return "pending" if rule.for_s > 0 else "firing"
        case _:
            return "ok"


def _worst(rule: Rule, worst: float | None, value: float | None) -> float | None:
    if worst is None or value is None:
        return value if worst is None else worst
    return max(worst, value) if rule.above else min(worst, value)


def _flaps(before: Alert, alert: Alert, now_s: float) -> Alert:
    edges = tuple(at_s for at_s in before.edges if now_s - at_s <= FLAP_WINDOW_S)
    if alert.active != before.active:
        edges = (*edges, now_s)[-FLAPS:]
    flapping = before.flapping or len(edges) >= FLAPS
    if flapping and now_s - (edges[-1] if edges else before.since_s) >= FLAP_STABLE_S:
        flapping, edges = False, ()
    return msgspec.structs.replace(alert, edges=edges, flapping=flapping)


def _reason(rule: Rule, alert: Alert, value: float | None, gone: bool, now_s: float) -> str:
    """Why it is in this state, in words."""
    if gone:
        return "what it was about is no longer there"
    if value is None:
        known = f"; the last was {alert.value:g}, {now_s - alert.read_s:.0f} s ago" if alert.read_s is not None else ""
        return f"no reading of {rule.signal}{known}"
    side = "above" if rule.above else "below"
    if rule.raised(value):
        return f"{value:g} is {side} {rule.raise_at:g}"
    return f"{value:g} is not {side} {rule.raise_at:g}" + ("" if rule.cleared(value) else f", nor over: {rule.clear_at:g}")


def _tell(stepped: list[tuple[Rule | None, Alert]], mutes: list[Mute], now_s: float) -> Evaluation:
    """Who is hidden or silenced, and what is news."""
    raised: dict[str, list[set[tuple[str, str]]]] = {}
    for _, alert in stepped:
        if alert.active or alert.state == "pending":
            raised.setdefault(alert.rule, []).append(set(alert.labels))
    alerts: dict[str, Alert] = {}
    changes: list[Change] = []
    for rule, alert in stepped:
        labels = set(alert.labels)
        hidden = next((by for by in (rule.hidden_by if rule else ()) if any(o <= labels for o in raised.get(by, ()))), "")
        silent = next((m.reason for m in mutes if m.rule in ("", alert.rule) and set(m.labels) <= labels), "")
        muted = f"explained by {hidden}" if hidden else silent
        told = _told(rule, alert, muted, now_s)
        after = msgspec.structs.replace(alert, muted=muted, told=told)
        if told != alert.told:
            changes.append(Change(after, alert.told))
        if after.state != "ok" or after.edges or told:
            alerts[after.fingerprint] = after
    return Evaluation(alerts, changes)


def _told(rule: Rule | None, alert: Alert, muted: str, now_s: float) -> Told:
    wanted: Told = ""
    if alert.flapping:
        wanted = "flapping"
    elif alert.state == "firing" or (alert.active and alert.told):  # what nobody heard of and seems to be over is no news
        wanted = "firing"
    elif alert.state == "pending":
        wanted = alert.told  # a first reading after none for long: what was told is not over
    elif alert.state == "no_data" and rule and (alert.told or (rule.no_data_s and now_s - alert.since_s >= rule.no_data_s)):
        wanted = "no_data"
    return alert.told if muted and wanted else wanted
