"""Day reports and drills in the Django admin, to look at."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from monitoring.admin.alerts import clock
from monitoring.admin.reading import ReadOnly
from monitoring.drill_page import CSP, html
from monitoring.drill_runs import last_passed
from monitoring.incidents import span
from monitoring.models.audit import AuditEntry, first_broken
from monitoring.models.days import StoredReport, WeddingMinute
from monitoring.models.drills import DrillRun
from monitoring.models.samples import Sample
from monitoring.readiness import judge
from monitoring.readiness_facts import asked_day, gather, running


@admin.register(StoredReport)
class StoredReportAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("wedding", "made_at", "page")
    search_fields = ("wedding",)
    date_hierarchy = "made_at"

    @display(description="report")
    def page(self, report: StoredReport) -> SafeString:
        page, file = reverse("day_report", args=[report.wedding]), reverse("day_report_file", args=[report.wedding])
        return format_html('<a href="{}">Page</a> · <a href="{}">signed file</a>', page, file)


@admin.register(WeddingMinute)
class WeddingMinuteAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("at", "wedding", "people", "deliveries", "replayed", "faults")
    search_fields = ("wedding",)
    date_hierarchy = "at"
    ordering = ("-at", "wedding")
    show_full_result_count = False

    @display(description="people")
    def people(self, minute: WeddingMinute) -> str:
        return f"{sum(minute.connections.values()):,.0f}"


@admin.register(Sample)
class SampleAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("at", "step_s", "where", "connections_most", "deliveries", "busy_most", "lag_s_most", "faults")
    list_filter = ("step_s", "scope")
    date_hierarchy = "at"
    exclude = ("latency", "acked")
    show_full_result_count = False

    @display(description="worker", ordering="scope")
    def where(self, sample: Sample) -> str:
        return sample.scope or "all workers"


@admin.register(DrillRun)
class DrillRunAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "outcome", "started_at", "took", "page", "verdict", "asked")
    list_filter = ("name", "passed")
    search_fields = ("name", "verdict")
    date_hierarchy = "started_at"

    @display(description="outcome", ordering="passed", label={"passed": "success", "failed": "danger"})
    def outcome(self, run: DrillRun) -> str:
        return "passed" if run.passed else "failed"

    @display(description="took")
    def took(self, run: DrillRun) -> str:
        return span(run.ended_at - run.started_at)

    @display(description="asked for")
    def asked(self, run: DrillRun) -> str:
        return ", ".join(f"{name} {value}" for name, value in sorted(run.options.items()))

    @display(description="report")
    def page(self, run: DrillRun) -> SafeString:
        return format_html('<a href="{}">Report</a>', reverse("admin:monitoring_drillrun_report", args=[run.pk]))

    def get_urls(self) -> list[URLPattern]:
        report = path("<int:pk>/report/", self.admin_site.admin_view(self.report), name="monitoring_drillrun_report")
        urls: list[URLPattern] = super().get_urls()
        return [report, *urls]

    def report(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The page of one run."""
        run = get_object_or_404(DrillRun, pk=pk)
        if not self.has_view_permission(request, run):
            raise PermissionDenied
        page = html(run, last_passed(run.name, run.started_at))
        return HttpResponse(page, headers={"Content-Security-Policy": CSP})

    actions_list = ("readiness",)

    @action(description="Readiness of a day", url_path="readiness", permissions=["view"])
    def readiness(self, request: HttpRequest) -> HttpResponse:
        """GO or NO-GO for `?date=`, tomorrow when it is not given."""
        now = clock.now()
        asked, workers = request.GET.get("date", "") or "tomorrow", request.GET.get("workers", "")
        try:
            day = asked_day(asked, now)
        except ValueError:
            return HttpResponseBadRequest("A date such as 2027-06-12 is needed.", content_type="text/plain")
        if workers and not re.fullmatch(r"[1-9][0-9]{0,3}", workers):
            return HttpResponseBadRequest("A number of workers from 1 to 9999 is needed, or none.", content_type="text/plain")
        facts = gather(day, int(workers) if workers else running())
        context = {
            **self.admin_site.each_context(request),
            "title": "Readiness",
            "answer": judge(facts, now),
            "facts": facts,
            "opts": self.model._meta,
            "asked_workers": workers,
        }
        return TemplateResponse(request, "admin/monitoring/readiness.html", context)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("at", "who", "what", "target", "reason", "intact")
    search_fields = ("who", "what", "target", "reason")
    date_hierarchy = "at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        """With the seal of the row before: one question for all."""
        before = AuditEntry.objects.filter(pk__lt=OuterRef("pk")).order_by("-pk").values("seal")[:1]
        found: QuerySet[AuditEntry] = super().get_queryset(request).annotate(before=Coalesce(Subquery(before), Value("")))
        return found

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Says whether all of it is as it was written; the seals of a page say nothing about rows that are not there."""
        if self.has_view_permission(request):
            broken = first_broken()
            if broken is None:
                self.message_user(request, "Nothing was changed, and nothing is missing.", messages.SUCCESS)
            else:
                self.message_user(request, f"Rows were changed or taken out: at {broken}.", messages.ERROR)
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response

    @display(description="seal", label={"fits": "success", "broken": "danger"})
    def intact(self, entry: AuditEntry) -> str:
        before: str = entry.before  # type: ignore[attr-defined]
        return "fits" if entry.seal == entry.sealed(before) else "broken"
