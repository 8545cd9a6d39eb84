"""The day report as a page of its own: figures in words, two charts, no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.template.loader import render_to_string
from django.utils import timezone

from monitoring.day_report import LINE_MS, DayReport, Point, path

WIDTH, HEIGHT = 640.0, 160.0
STYLE = (Path(__file__).parent / "day_report.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CSP = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""What the page needs when it is served: its own style, and nothing else."""


def html(report: DayReport) -> str:
    """The whole page. Times are the venue's."""
    context = {
        "report": report,
        "style": STYLE,
        "verdict": verdict(report),
        "figures": figures(report),
        "kinds": sorted(report.sent_by_kind.items(), key=lambda pair: (-pair[1], pair[0])),
        "people": sorted((report.connected_minutes or {}).items()),
        "charts": _charts(report.minutes, ZoneInfo(report.wedding.timezone)),
    }
    with timezone.override(ZoneInfo(report.wedding.timezone)):
        return render_to_string("monitoring/day_report.html", context)


def verdict(report: DayReport) -> tuple[str, str]:
    """("good", "bad" or "", a sentence)."""
    if report.kept is None:
        return "", "Whether the promise was kept could not be measured."
    if report.kept:
        return "good", "Everything arrived, and what was urgent arrived in time."
    return "bad", "The promise was not kept on this day: the figures below say where."


def figures(report: DayReport) -> list[tuple[str, str, str]]:
    """[(name, value, about it)]."""

    def said(value: int | None) -> str:
        return "not measured" if value is None else f"{value:,}"

    sent = sum(report.sent.values())
    urgent = report.sent.get("P0", 0) + report.sent.get("P1", 0)
    found = [
        ("Sent", f"{sent:,}", f"{urgent:,} of them urgent"),
        ("Delivered", said(report.delivered), "to all screens together"),
        ("Replayed", said(report.replayed), "to people who came back"),
        ("Lost or out of order", said(_lost(report)), "in the journal, or as screens reported"),
        ("Most people at once", said(report.most_people), "mean of their minute"),
    ]
    if report.latency is not None:
        found.insert(2, ("Urgent, 99 of 100 within", f"{report.latency.p99_ms:,.0f} ms", _half(report)))
    return found


def _half(report: DayReport) -> str:
    assert report.latency is not None
    return f"half {report.latency.p50_ms:,.0f}, 95 of 100 {report.latency.p95_ms:,.0f} ms; {report.latency.late:,} were late"


def _lost(report: DayReport) -> int | None:
    if report.faults is None:
        return report.lost_in_journal or None
    return report.lost_in_journal + report.faults


def _charts(points: Sequence[Point], zone: ZoneInfo) -> list[dict[str, Any]]:
    if len(points) < 2:
        return []
    slowest = max((point.p99_ms for point in points if point.p99_ms is not None), default=0.0)
    people = max(point.people for point in points)
    return [
        _chart("People connected", points, lambda point: point.people, max(10.0, people * 1.1), zone, f"at most {people:.0f}"),
        _chart(
            "Urgent deliveries: 99 of 100 within, ms",
            points,
            lambda point: point.p99_ms,
            max(LINE_MS * 1.2, slowest * 1.1),
            zone,
            f"at most {slowest:.0f}, the promise is {LINE_MS:.0f}",
            LINE_MS,
        ),
    ]


def _chart(
    title: str,
    points: Sequence[Point],
    value: Callable[[Point], float | None],
    top: float,
    zone: ZoneInfo,
    said: str,
    line: float | None = None,
) -> dict[str, Any]:
    """One value over the day. A minute without a record leaves a gap."""
    by_minute = {int(point.at.timestamp()) // 60: point for point in points}
    first, last = min(by_minute), max(by_minute)
    values = [value(by_minute[n]) if n in by_minute else None for n in range(first, last + 1)]
    hours = [n for n in range(first, last + 1) if n % 120 == 0]
    return {
        "title": title,
        "said": said,
        "path": path(values, WIDTH, HEIGHT, top),
        "rows": [(round(HEIGHT - share * HEIGHT, 1), f"{share * top:,.0f}") for share in (0.0, 0.5, 1.0)],
        "line": None if line is None else round(HEIGHT - line / top * HEIGHT, 1),
        "columns": [
            (round((n - first) / max(1, last - first) * WIDTH, 1), f"{datetime.fromtimestamp(n * 60, zone):%H:%M}")
            for n in hours
        ],
    }
