"""The dashboard as the server renders it: complete without a script, kept live by `static/monitoring/dashboard.js`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from msgspec import MsgspecError

from monitoring import queries
from monitoring.dashboard.history import drawn
from monitoring.dashboard.kind import Row, Shown
from monitoring.dashboard.screen import POINTS, SHOWN, Point, decode_points, decode_shown
from monitoring.dashboard.shown import nothing
from monitoring.dashboard.words import ms, number, size, span
from realtime.bootstrap import services
from realtime.clock import SystemClock
from realtime.errors import RegistryUnavailable
from realtime.policy.forecast import Forecast
from realtime.report import ConnectionReport, Describe, RoomReport, WorkerReport, decode_room, describes
from realtime.roles import OPS
from wedsync.weddings.forecasting import bookings
from wedsync.weddings.models import Wedding

AROUND = timedelta(hours=12)
FORECAST_STEP_S = 600
clock = SystemClock()
BLANK = Row("", {})


def landing(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's DASHBOARD_CALLBACK: the first page of the admin is the dashboard."""
    return context | _live(request)


@never_cache
@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """What the control loop saw last, and how long ago that was."""
    context = admin.site.each_context(request) | _live(request)
    return TemplateResponse(request, "admin/monitoring/dashboard.html", context)


def _live(request: HttpRequest) -> dict[str, Any]:
    now = clock.now()
    page, points, problem = _noted(now)
    forecast = _forecast(now)
    may = {
        "drain": request.user.has_perm("monitoring.drain_worker"),
        "pin": request.user.has_perm("monitoring.add_scalingpin"),
        "acknowledge": request.user.has_perm("monitoring.acknowledge_alert"),
    }
    start = {
        "room": OPS,
        "age_s": max(0.0, now.timestamp() - page.at_s) if page.at_s else None,
        "points": [[point.at_s, point.figures] for point in points],
        "forecast": forecast,
        "actual": _actual(now) if forecast else [],
    }
    return {
        "title": "Live dashboard",
        "page": page,
        "t": page.texts,
        "rows": page.rows,
        "blank": BLANK,
        "may": may,
        "age": span(now.timestamp() - page.at_s) if page.at_s else "",
        "problem": problem,
        "forecast_said": _said(forecast, now),
        "start": start,
    }


def _noted(now: datetime) -> tuple[Shown, list[Point], str]:
    """(the page, the last ten minutes, why it is not known)."""
    registry = services().registry

    async def read() -> tuple[bytes | None, bytes | None]:
        return await registry.read(SHOWN), await registry.read(POINTS)

    try:
        page, points = async_to_sync(read)()
    except RegistryUnavailable:
        return nothing(now), [], "The registry does not answer: what the control loop saw is not known here."
    try:
        return (
            decode_shown(page) if page is not None else nothing(now),
            decode_points(points) if points is not None else [],
            "",
        )
    except MsgspecError:
        return nothing(now), [], "The control loop is of another release: what it saw cannot be read here."


def _forecast(now: datetime) -> list[tuple[float, int]]:
    """[(UTC seconds, people expected)], every ten minutes for half a day back and ahead; empty without weddings in it."""
    try:
        forecast = Forecast(bookings(now))
    except DatabaseError:
        return []
    first = (now - AROUND).timestamp() // FORECAST_STEP_S * FORECAST_STEP_S
    steps = int(2 * AROUND.total_seconds() / FORECAST_STEP_S) + 1
    points = [(first + n * FORECAST_STEP_S, round(forecast.expected(first + n * FORECAST_STEP_S))) for n in range(steps)]
    return points if any(people for _, people in points) else []


def _actual(now: datetime) -> list[tuple[int, float | None]]:
    """[(UTC seconds, people connected)] as recorded; None where nobody recorded it."""
    try:
        chart = queries.chart("connections", now - AROUND, now, now)
    except DatabaseError:
        return []
    mean = next((line.values for line in chart.lines if line.name == "mean"), [])
    return list(zip(chart.at, mean, strict=False))


def _said(forecast: list[tuple[float, int]], now: datetime) -> str:
    if not forecast:
        return "The calendar expects nobody within twelve hours of now."
    at_s, most = max(forecast, key=lambda point: point[1])
    when = "was" if at_s < now.timestamp() else "is"
    return f"The most expected {when} {most:,} people at {datetime.fromtimestamp(at_s, UTC):%H:%M} UTC."


@never_cache
@require_safe
def wedding(request: HttpRequest, slug: str) -> HttpResponse:
    """How each connection of one wedding is served, and why: its workers are asked, and have answered a second later."""
    found = Wedding.objects.filter(slug=slug).first()
    if found is None:
        raise Http404
    holders, answers, problem = async_to_sync(_ask)(slug)
    now_s = clock.now().timestamp()
    connections = [_connection(answer.slot, one) for answer in answers for one in answer.connections]
    context = admin.site.each_context(request) | {
        "title": found.names,
        "wedding": found,
        "holders": [(report.slot, sum(report.weddings[slug].connections.values())) for report in holders],
        "connections": connections,
        "more": sum(answer.more for answer in answers),
        "waiting": len(answers) < len(holders),
        "age": span(now_s - min(answer.at_s for answer in answers)) if answers else "",
        "problem": problem,
    }
    return TemplateResponse(request, "admin/monitoring/dashboard/wedding.html", context | _recorded(found))


def _recorded(wedding: Wedding) -> dict[str, Any]:
    """The minutes of its day so far."""
    start, end = wedding.window
    try:
        return drawn(queries.wedding(wedding.slug, start, min(end, clock.now()))) if start < clock.now() else {}
    except DatabaseError:
        return {}


async def _ask(slug: str) -> tuple[list[WorkerReport], list[RoomReport], str]:
    """(workers that hold the wedding, what they have said of it lately, what is wrong)."""
    registry = services().registry
    try:
        holders = [report for report in await registry.reports() if slug in report.weddings]
        notes = [await registry.read(describes(report.worker, slug)) for report in holders]
        for report in holders:
            await registry.order(report.worker, Describe(slug))
    except RegistryUnavailable:
        return [], [], "The registry does not answer: the workers cannot be asked."
    return holders, [decode_room(note) for note in notes if note is not None], ""


def _connection(slot: str, one: ConnectionReport) -> dict[str, str]:
    served = "sparingly" if one.light else "as usual"
    return {
        "name": one.name or one.member,
        "role": one.role,
        "slot": slot,
        "served": f"{served}, {one.encoding}",
        "why": one.reason,
        "batch": f"within {one.batch_s * 1_000:.0f} ms" if one.batch_s else "at once",
        "heartbeat": f"{number(one.heartbeat_s)} s",
        "rtt": ms(one.rtt_s),
        "waiting": size(one.waiting_bytes) if one.waiting_bytes else "nothing",
    }
