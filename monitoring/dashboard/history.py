"""How the fleet was, from an hour to a year: one chart for each thing that is recorded, each with its numbers as CSV."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.contrib import admin
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from monitoring import queries
from monitoring.admin.reading import Echo
from monitoring.dashboard.words import MISSING, decimal, size, span
from monitoring.plots import PLOTS, Chart, Line
from monitoring.samples import TOTAL
from realtime.clock import SystemClock

SPANS = {
    "1h": ("1 hour", timedelta(hours=1)),
    "6h": ("6 hours", timedelta(hours=6)),
    "1d": ("1 day", timedelta(days=1)),
    "7d": ("1 week", timedelta(days=7)),
    "30d": ("1 month", timedelta(days=30)),
    "365d": ("1 year", timedelta(days=365)),
}
DEFAULT = "1h"
clock = SystemClock()


@never_cache
@require_safe
def history(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """`?span=1h` to `365d`, `?worker=w1` for one of them; `?csv=<chart>` is that chart as a table."""
    now = clock.now()
    chosen = request.GET.get("span", DEFAULT)
    if chosen not in SPANS:
        raise Http404("There is no such span.")
    start, worker = now - SPANS[chosen][1], request.GET.get("worker", "")
    slots: list[str] = []
    charts: list[Chart] = []
    problem = ""
    try:
        slots = queries.workers(start, now, now)
        if (wanted := request.GET.get("csv")) is not None:
            if wanted not in PLOTS:
                raise Http404("There is no such chart.")
            return _csv(queries.chart(wanted, start, now, now, worker or TOTAL))
        charts = [queries.chart(name, start, now, now, worker or TOTAL) for name in PLOTS]
    except DatabaseError:
        problem = "The history database does not answer."
    context = admin.site.each_context(request) | {
        "title": "History",
        "spans": [(key, name) for key, (name, _) in SPANS.items()],
        "chosen": chosen,
        "worker": worker,
        "slots": slots,
        "problem": problem,
    }
    return TemplateResponse(request, "admin/monitoring/dashboard/history.html", context | drawn(charts))


def drawn(charts: list[Chart]) -> dict[str, Any]:
    """Charts as a template and `history.js` want them."""
    step = f"One point is {span(charts[0].step_s)}." if charts else ""
    return {
        "charts": [(chart, described(chart)) for chart in charts],
        "step": step,
        "start": msgspec.to_builtins(charts),
    }


def described(chart: Chart) -> list[str]:
    """The chart in sentences, one for each line: what a person who does not see it has to know."""
    return [_line(chart, line) for line in chart.lines] or ["Nothing was recorded."]


def _line(chart: Chart, line: Line) -> str:
    known = [(value, at_s) for value, at_s in zip(line.values, chart.at, strict=True) if value is not None]
    if not known:
        return f"{line.name}: {MISSING}"
    (low, _), (high, at_s) = min(known), max(known)
    share = len(known) / len(line.values)
    holes = "" if share > 0.99 else f"; recorded for {share * 100:.0f} % of the time" if share >= 0.005 else "; hardly recorded"
    when = f"{datetime.fromtimestamp(at_s, UTC):%d %b %H:%M}"
    last = "" if line.values[-1] is None else f", {_value(line.values[-1], chart.unit)} at last"
    least, most = _value(low, chart.unit), _value(high, chart.unit)
    return f"{line.name}: {most if least == most else f'{least} to {most}'} ({when}){last}{holes}"


def _value(value: float, unit: str) -> str:
    return size(value) if unit == "bytes" else f"{decimal(value)} {unit}".rstrip().replace(" /s", "/s")


def _csv(chart: Chart) -> StreamingHttpResponse:
    writer = csv.writer(Echo())
    rows = [["at", *(line.name for line in chart.lines)]]
    rows += [
        [
            datetime.fromtimestamp(at_s, UTC).isoformat(),
            *("" if line.values[n] is None else str(line.values[n]) for line in chart.lines),
        ]
        for n, at_s in enumerate(chart.at)
    ]
    disposition = f'attachment; filename="{chart.name}.csv"'
    lines = (writer.writerow(row) for row in rows)
    return StreamingHttpResponse(lines, "text/csv; charset=utf-8", headers={"Content-Disposition": disposition})
