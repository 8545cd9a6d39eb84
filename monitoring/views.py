"""The day report for those whose day it was: planner and couple, and the operator."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from monitoring.day_report import verify
from monitoring.day_report_page import CSP, html
from monitoring.day_reports import file_of, keys
from realtime.bootstrap import services
from realtime.clock import SystemClock

READERS = ("planner", "couple", "staff")
NOT_YOURS = "There is no report here that you may read. Planner and couple find it with the account or link of their wedding."


def _file(request: HttpRequest, slug: str) -> bytes | None:
    """The signed report, None for whom it is not meant."""
    member = services().domain.member(slug, request.user, request.session)
    return file_of(slug, SystemClock().now()) if member is not None and member.role in READERS else None


@never_cache
@require_safe
def day_report(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The page."""
    file = _file(request, slug)
    report = verify(file, keys()) if file is not None else None
    if report is None:
        return render(request, "404.html", {"sentence": NOT_YOURS}, status=404)
    return HttpResponse(html(report), headers={"Content-Security-Policy": CSP})


@never_cache
@require_safe
def day_report_file(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The signed file."""
    file = _file(request, slug)
    if file is None:
        return render(request, "404.html", {"sentence": NOT_YOURS}, status=404)
    name = f'attachment; filename="{slug}.json"'
    return HttpResponse(file, content_type="application/json", headers={"Content-Disposition": name})
