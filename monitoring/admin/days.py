"""Day reports and drills in the Django admin, to look at."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from monitoring.admin.alerts import ReadOnly
from monitoring.incidents import span
from monitoring.models.days import StoredReport
from monitoring.models.drills import DrillRun


@admin.register(StoredReport)
class StoredReportAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("wedding", "made_at", "page")
    search_fields = ("wedding",)
    date_hierarchy = "made_at"

    @display(description="report")
    def page(self, report: StoredReport) -> SafeString:
        page, file = reverse("day_report", args=[report.wedding]), reverse("day_report_file", args=[report.wedding])
        return format_html('<a href="{}">Page</a> · <a href="{}">signed file</a>', page, file)


@admin.register(DrillRun)
class DrillRunAdmin(ReadOnly, ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "outcome", "started_at", "took", "verdict", "asked")
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
