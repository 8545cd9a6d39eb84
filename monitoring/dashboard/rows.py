"""The lists of the dashboard in words. PURE; see `monitoring.dashboard.shown`."""

from __future__ import annotations

from collections.abc import Mapping

from monitoring.dashboard.kind import Row
from monitoring.dashboard.status import (
    AlertFact,
    DecisionFact,
    DrillFact,
    Facts,
    FleetStatus,
    Latency,
    MoveFact,
    WeddingStatus,
    WorkerStatus,
)
from monitoring.dashboard.words import MISSING, clock, count, decimal, ms, number, percent, share, size, span

LATE_S = 0.1
BUSY, LAG_S = 0.95, 0.05
"""The thresholds of the alerts `worker-busy` and `worker-lag`: what they call trouble looks like it."""
WHERE_MAX = 4
PROMISES = {"kept": "kept", "late": "late", "broken": "broken", "quiet": "nothing to judge"}
PLACED = {
    "affinity": "where it belongs",
    "spill": "{first} is full",
    "drain": "{first} is being drained",
    "unhealthy": "{first} is not fit",
}


def lists(status: FleetStatus, facts: Facts) -> dict[str, list[Row]]:
    """{list: its rows, in order}."""
    now_s = status.at_s
    return {
        "latency": [_latency(latency) for latency in status.latency],
        "workers": [_worker(worker) for worker in status.workers],
        "weddings": [_wedding(wedding, now_s) for wedding in status.weddings],
        "alerts": [_alert(alert, now_s) for alert in facts.alerts],
        "incidents": [
            _row(str(i.pk), title=f"Incident {i.pk}: {i.title}", state=i.state, since=clock(i.started_s, now_s))
            for i in facts.incidents
        ],
        "moves": [_move(move, now_s) for move in facts.moves],
        "decisions": [_decision(decision, now_s) for decision in facts.decisions],
        "drills": [_drill(drill, now_s) for drill in facts.drills],
    }


def _alert(alert: AlertFact, now_s: float) -> Row:
    return _row(
        str(alert.pk),
        severity=alert.severity,
        title=alert.title,
        reason=alert.reason,
        state=f"silenced: {alert.muted}" if alert.muted else alert.state,
        since=clock(alert.fired_s, now_s),
        who=f"{alert.acknowledged_by} takes care" if alert.acknowledged_by else "nobody has acknowledged it",
        open="" if alert.acknowledged_by else "yes",
    )


def _move(move: MoveFact, now_s: float) -> Row:
    what = f"{move.wedding}: {move.source} to {move.target}, {count(move.sockets, 'connection')}"
    return _row(f"{move.wedding} {move.at_s}", at=clock(move.at_s, now_s), what=what, why=move.reason)


def _decision(decision: DecisionFact, now_s: float) -> Row:
    what = f"have {decision.have}, want {decision.want}" + (", done" if decision.acted else "")
    return _row(str(decision.at_s), at=clock(decision.at_s, now_s), what=what, why=decision.reason)


def _row(key: str, **texts: str) -> Row:
    return Row(key, texts)


def _latency(latency: Latency) -> Row:
    p99_s = latency.p99_s
    return _row(
        latency.priority,
        count=number(latency.count),
        p50=_or_dash(latency, latency.p50_s),
        p99=_or_dash(latency, p99_s),
        p999=_or_dash(latency, latency.p999_s),
        late=share(latency.late, latency.count) if latency.count else "–",
        tone="quiet" if p99_s is None else "good" if p99_s <= LATE_S else "bad",
        # The line of 100 ms is in the middle of the bar.
        bar=f"{min(100.0, 50 * (p99_s or 0.0) / LATE_S):.1f}%",
    )


def _or_dash(latency: Latency, value: float | None) -> str:
    return ms(value) if latency.count else "–"


def _worker(w: WorkerStatus) -> Row:
    texts = {
        "slot": w.slot,
        "process": f"{w.host}, pid {w.pid}",
        "state": w.state,
        "tone": _tone(w),
        "reason": w.reason,
        "connections": number(w.connections),
        "weddings": number(w.weddings),
        "deliveries": decimal(w.deliveries_per_s),
        "busy": percent(w.busy),
        "lag": ms(w.lag_s),
        "memory": size(w.rss_bytes),
        "waiting": size(w.outbox_bytes),
        "window": "at once" if not w.window_s else f"within {w.window_s * 1_000:.0f} ms",
        "shed": w.shed,
        "canary": _canary(w),
        "layer": "" if w.layer_healthy is not False else "The channel layer does not answer.",
        "plans": _plans(w.plans),
        "tuned": w.tuned,
        "up": f"· up {span(w.age_s)}",
        "seen": f"· last seen {span(w.heard_s)} ago" if w.gone else "",
        "went": "",
        "live": "" if w.gone else "yes",
    }
    if w.gone:
        there = [f"{n} on {slot}" for slot, n in sorted(w.went.items())]
        had = f"It held {count(w.connections, 'connection')} of {count(w.weddings, 'wedding')}"
        texts["went"] = f"{had}; moved: {', '.join(there)}." if there else f"{had}; nobody of them is back yet."
        if not w.weddings:
            texts["went"] = "Nobody was connected to it."
        texts["up"] = ""
    return Row(w.worker, texts)


def _tone(w: WorkerStatus) -> str:
    if w.gone or w.state == "lame" or not w.journal_healthy:
        return "bad"
    trouble = w.shed or w.layer_healthy is False or (w.busy or 0) > BUSY or (w.lag_s or 0) > LAG_S
    if w.state != "ready" or trouble or (w.heard_by is not None and w.heard_by[0] < w.heard_by[1]):
        return "warn"
    return "good"


def _canary(w: WorkerStatus) -> str:
    if w.heard_by is None:
        return "no other worker to hear it"
    heard, asked = w.heard_by
    took = f", {ms(w.canary_s)}" if w.canary_s is not None else ""
    return f"heard by {heard} of {asked}{took}"


def _plans(plans: Mapping[str, int]) -> str:
    return "; ".join(f"{n:,} {how}" for how, n in sorted(plans.items(), key=lambda item: -item[1])) or MISSING


def _wedding(w: WeddingStatus, now_s: float) -> Row:
    slots = sorted(w.at.items(), key=lambda item: (-item[1], item[0]))
    where = ", ".join(f"{slot} {n:,}" if len(slots) > 1 else slot for slot, n in slots[:WHERE_MAX])
    judged = f"{number(w.judged)} judged, {share(w.late, w.judged)} late" if w.judged else ""
    if w.faults:
        judged = f"{count(w.faults, 'fault')} reported by clients"
    placed = PLACED[w.placed_why].format(first=w.first_choice) if w.placed else "nobody takes anybody"
    moved = ""
    if w.moved is not None:
        m = w.moved
        moved = f"moved {m.source} to {m.target}, {span(now_s - m.at_s)} ago: {m.reason}"
    of = f" of {number(w.expected)} expected" if w.expected is not None else ""
    return _row(
        w.wedding,
        connections=number(w.connections) + of,
        where=where,
        deliveries=decimal(w.deliveries_per_s),
        p99=ms(w.p99_s) if w.p99_s is not None else "–",
        promise=PROMISES[w.promise],
        tone={"kept": "good", "late": "bad", "broken": "bad", "quiet": "quiet"}[w.promise],
        judged=judged,
        placed=f"next: {w.placed}, {placed}" if w.placed else placed,
        moved=moved,
        phase=w.phase,
    )


def _drill(drill: DrillFact, now_s: float) -> Row:
    passed = f"passed {span(now_s - drill.passed_s)} ago" if drill.passed_s is not None else "never passed"
    failed = drill.failed_s is not None and (drill.passed_s is None or drill.failed_s > drill.passed_s)
    text = f"failed {span(now_s - (drill.failed_s or 0.0))} ago, {passed}" if failed else passed
    return _row(
        drill.name,
        command=drill.command,
        last=text,
        tone="bad" if failed else "warn" if drill.due else "good",
        due="due" if drill.due else "",
    )
