"""The dashboard in words. PURE: a `FleetStatus` and what the databases know in, texts and figures out: for the page as it is
first rendered and for each second after, so that neither the page nor its script decides how anything is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from monitoring.dashboard.kind import Shown
from monitoring.dashboard.rows import lists
from monitoring.dashboard.status import Facts, FleetStatus, Latency, ScalerStatus
from monitoring.dashboard.words import MISSING, clock, count, decimal, ms, number, share

FULL_MINUTE_S = 55.0
PROMISED_S = 0.1
ORDER = ("guest", "vendor", "planner", "couple", "display", "staff", "load")


def shown(status: FleetStatus, facts: Facts) -> Shown:
    """What stands where on the page."""
    texts = (
        _top(status, facts)
        | _traffic(status)
        | _promise(status.promise)
        | _weddings(status)
        | _scaler(status.scaler, status, facts)
        | _balancer(status)
        | _alerts(facts)
    )
    return Shown(status.at_s, texts, figures(status), lists(status, facts))


def figures(status: FleetStatus) -> dict[str, float | None]:
    """One point of each live chart."""
    return {
        "connections": status.connections,
        "deliveries": status.deliveries_per_s,
        "p50_ms": _ms(status.promise.p50_s),
        "p99_ms": _ms(status.promise.p99_s),
    }


def nothing(now: datetime) -> Shown:
    """The page when no control loop has ever been heard of: everything is missing, and it says so."""
    empty = FleetStatus(
        at_s=now.timestamp(), holder="", reports_known=False, tick_ms=None, connections=None, by_role={},
        deliveries_per_s=None, deliveries_minute=None, seconds=0.0, joins_minute=None, latency=[],
        promise=Latency("P0 and P1", 0), workers=[], weddings=[], promises={}, scaler=None, balancer=None,
    )  # fmt: skip
    page = shown(empty, Facts(known=False))
    told = {
        "warning": "No control loop is heard of: start manage.py serve, manage.py control_loop or a server that is alone.",
        "clock": MISSING,
    }
    return Shown(0.0, page.texts | told, page.figures, page.rows)


def _top(status: FleetStatus, facts: Facts) -> dict[str, str]:
    warnings = []
    if not status.reports_known:
        warnings.append("The reports of the workers cannot be read: what is below is what was known before.")
    if not facts.known:
        since = f" since {clock(facts.read_s, status.at_s)}" if facts.read_s is not None else ""
        warnings.append(f"The history database does not answer{since}: alerts, moves and drills are those of then.")
    silent = [worker.slot for worker in status.workers if not worker.gone and not worker.journal_healthy]
    if silent:
        warnings.append(f"The journal cannot be written by {_and(silent)}.")
    tick = f" · one look takes {status.tick_ms:.0f} ms" if status.tick_ms is not None else ""
    return {
        "clock": f"{datetime.fromtimestamp(status.at_s, UTC):%H:%M:%S}",
        "holder": f"Seen by {status.holder}{tick}" if status.holder else "",
        "warning": " ".join(warnings),
    }


def _traffic(status: FleetStatus) -> dict[str, str]:
    span = "in the last minute" if status.seconds >= FULL_MINUTE_S else f"in {status.seconds:.0f} s"
    known = status.deliveries_minute is not None
    mean = status.deliveries_minute / max(1.0, status.seconds) if status.deliveries_minute is not None else 0.0
    joins = "" if status.joins_minute is None else f"{number(status.joins_minute)} joined {span}"
    return {
        "connections": number(status.connections),
        "connections_note": " · ".join(part for part in (_roles(status.by_role), joins) if part),
        "deliveries": number(status.deliveries_per_s),
        "deliveries_note": f"{number(status.deliveries_minute)} {span}, {decimal(mean)} a second" if known else "",
    }


def _promise(promise: Latency) -> dict[str, str]:
    if promise.p99_s is None:
        return {"p99": MISSING, "p99_note": "Nothing urgent was delivered in the last minute.", "p99_tone": "quiet"}
    note = f"{count(promise.count, 'delivery', 'deliveries')} of P0 and P1 in the last minute, "
    note += f"{share(promise.late, promise.count)} over 100 ms"
    return {"p99": ms(promise.p99_s), "p99_note": note, "p99_tone": "good" if promise.p99_s <= PROMISED_S else "bad"}


def _weddings(status: FleetStatus) -> dict[str, str]:
    live = sum(status.promises.values()) if status.connections is not None else None
    said = {"kept": "kept", "late": "late", "broken": "broken", "quiet": "with nothing to judge"}
    parts = [f"{number(n)} {said[p]}" for p in said if (n := status.promises.get(p, 0))]
    bad = status.promises.get("late", 0) + status.promises.get("broken", 0)
    more = (live or 0) - len(status.weddings)
    return {
        "live": number(live),
        "live_note": ", ".join(parts) if live else ("Nobody is connected." if live == 0 else ""),
        "live_tone": "bad" if bad else "good" if status.promises.get("kept") else "quiet",
        "weddings_more": f"And {count(more, 'more wedding')}, all of them at least as well served." if more > 0 else "",
        "weddings_none": "" if live else ("No wedding has anybody connected." if live == 0 else "Not known."),
    }


def _scaler(scaler: ScalerStatus | None, status: FleetStatus, facts: Facts) -> dict[str, str]:
    there = sum(1 for worker in status.workers if not worker.gone)
    gone = sum(1 for worker in status.workers if worker.gone and worker.heard_s < 10)
    tone = "bad" if gone or (status.reports_known and not there) else "good" if there else "quiet"
    texts = {"workers": number(there) if status.connections is not None else MISSING, "workers_tone": tone}
    if scaler is None:
        return texts | {
            "workers_note": "The scaler has not decided yet.", "have": MISSING, "want": MISSING, "why": "", "mode": "",
            "pin": "", "expected": "", "want_tone": "quiet",
        }  # fmt: skip
    pin = facts.pin
    expected = [] if scaler.expected is None else [f"{number(scaler.expected)} people expected now by the calendar"]
    if scaler.soon is not None:
        expected.append(f"ready for {number(scaler.soon)} within the hour")
    if scaler.live is not None:
        expected.append(f"{count(scaler.live, 'wedding')} of the calendar on")
    if scaler.rho is not None:
        expected.append(f"{scaler.rho:.2f} come for each one expected")
    lately = f" · {gone} just lost" if gone else ""
    return texts | {
        "workers_note": f"want {scaler.want}{lately} · {scaler.mode}",
        "have": str(scaler.have),
        "want": str(scaler.want),
        "why": scaler.why,
        "mode": {"off": "off: decides, says nothing", "advise": "advise: says what it would do", "auto": "auto: does it"}.get(
            scaler.mode, scaler.mode
        )
        + f"; {scaler.least} to {scaler.most} workers",
        "pin": f"{pin.workers} until {clock(pin.until_s, status.at_s)} UTC: {pin.who}, {pin.reason}" if pin else "",
        "expected": "; ".join(expected) + "." if expected else "",
        "want_tone": "good" if scaler.have == scaler.want else "bad",
    }


def _balancer(status: FleetStatus) -> dict[str, str]:
    balancer = status.balancer
    if balancer is None:
        return {"uneven": MISSING, "bound": MISSING, "homes": MISSING, "moving": ""}
    alone = sum(1 for worker in status.workers if not worker.gone) < 2
    uneven = MISSING if balancer.unevenness is None else f"{balancer.unevenness:.2f} × the mean"
    return {
        "uneven": "one worker holds everybody" if alone and balancer.unevenness is not None else uneven,
        "bound": f"{balancer.bound:.2f} × its share",
        "homes": count(balancer.homes, "wedding"),
        "moving": "Weddings are being moved." if balancer.moving else "Nothing is being moved.",
    }


def _alerts(facts: Facts) -> dict[str, str]:
    total = len(facts.alerts) + facts.alerts_more
    pages = sum(1 for alert in facts.alerts if alert.severity == "page")
    if not facts.known and facts.read_s is None:
        return {"alerts": MISSING, "alerts_note": "", "alerts_tone": "quiet", "alerts_none": "Not known.", "alerts_more": ""}
    unseen = sum(1 for alert in facts.alerts if not alert.acknowledged_by and alert.severity == "page")
    note = f"{count(pages, 'page')}, {unseen} not acknowledged" if pages else "no page" if total else "nothing is wrong"
    return {
        "alerts": number(total),
        "alerts_note": note,
        "alerts_tone": "bad" if pages else "warn" if total else "good",
        "alerts_none": "" if total else "No alert is open.",
        "alerts_more": f"And {facts.alerts_more} more." if facts.alerts_more else "",
    }


def _roles(by_role: Mapping[str, int]) -> str:
    found = [role for role in ORDER if by_role.get(role)]
    return ", ".join(
        count(by_role[role], role) if role not in ("staff", "load") else f"{by_role[role]} {role}" for role in found
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1_000, 3)


def _and(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
