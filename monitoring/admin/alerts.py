"""Rules, alerts, silences, receivers, the outbox and incidents in the Django admin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import NON_FIELD_ERRORS
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget

from monitoring import incidents, paging
from monitoring.admin.reading import CsvExport, ReadOnly
from monitoring.admin.writing import Written
from monitoring.models.alerts import Alert, AlertRule, Incident, IncidentEvent, Notice, Receiver, Silence
from monitoring.signals import SIGNALS
from realtime.clock import SystemClock
from wedsync.weddings.admin_forms import AsTyped

SEVERITY_COLOURS = {"page": "danger", "ticket": "warning", "info": "info"}
STATE_COLOURS = {
    "firing": "danger", "resolving": "warning", "no data": "warning", "over": "success",
    "open": "danger", "mitigated": "warning", "closed": "success",
    "sent": "success", "waiting": "warning", "given up": "danger",
}  # fmt: skip
clock = SystemClock()


class ListedRule(forms.ModelForm):  # type: ignore[type-arg]
    """A line of the list, with one box. What is wrong with the rest of the rule is said beside it."""

    def add_error(self, field: str | None, error: Any) -> None:
        """Django knows no place for an error of a field that is not shown here."""
        if field is None and hasattr(error, "error_dict"):
            for name in sorted(error.error_dict.keys() - self.fields.keys() - {NON_FIELD_ERRORS}):
                super().add_error(None, [f"{name}: {sentence}" for sentence in error.message_dict[name]])
                del error.error_dict[name]
        super().add_error(field, error)


@admin.register(AlertRule)
class AlertRuleAdmin(Written):
    list_display = ("title", "severity_label", "condition", "hold", "enabled", "name")
    list_display_links = ("title",)
    list_editable = ("enabled",)
    list_filter = ("severity", "enabled", "signal")
    search_fields = ("name", "title", "signal", "what_to_do")
    readonly_fields = ("signal_about",)
    fieldsets = (
        (None, {"fields": ("name", "title", "enabled", "severity", "what_to_do")}),
        ("When", {"fields": ("signal", "signal_about", "direction", "raise_at", "clear_at")}),
        ("How long", {"fields": ("for_s", "keep_s", "no_data_s")}),
        ("Explained by", {"fields": ("hidden_by",)}),
    )
    actions = ("enable", "disable")

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> type[forms.ModelForm]:  # type: ignore[type-arg]
        form: type[forms.ModelForm] = super().get_changelist_form(request, form=ListedRule, **kwargs)  # type: ignore[type-arg]
        return form

    @display(description="severity", ordering="severity", label=SEVERITY_COLOURS)
    def severity_label(self, rule: AlertRule) -> str:
        return rule.severity

    @display(description="when")
    def condition(self, rule: AlertRule) -> str:
        signal = SIGNALS.get(rule.signal)
        unit = signal.unit if signal else ""
        return f"{rule.signal} {'>' if rule.direction == 'above' else '<'} {rule.raise_at:,.10g} {unit}"

    @display(description="for / hold, s")
    def hold(self, rule: AlertRule) -> str:
        return f"{rule.for_s:g} / {rule.keep_s:g}"

    @display(description="what the signal is")
    def signal_about(self, rule: AlertRule) -> str:
        signal = SIGNALS.get(rule.signal)
        return f"In {signal.unit}: {signal.about}." if signal else "Chosen above; explained once it is saved."

    @admin.action(description="Switch on", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        self.message_user(request, f"{queryset.update(enabled=True)} switched on.")

    @admin.action(description="Switch off: alerts of it end", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        self.message_user(request, f"{queryset.update(enabled=False)} switched off.")


@admin.register(Alert)
class AlertAdmin(ReadOnly, Written):
    list_display = ("rule", "subject", "severity_label", "state_label", "fired", "lasted", "reason", "acknowledged")
    list_filter = (("resolved_at", admin.EmptyFieldListFilter), "severity", "rule")
    search_fields = ("rule", "reason", "labels", "acknowledged_by")
    date_hierarchy = "fired_at"
    exclude = ("kept",)
    actions = ("acknowledge", "export_csv")

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("monitoring.acknowledge_alert")

    @display(description="severity", ordering="severity", label=SEVERITY_COLOURS)
    def severity_label(self, alert: Alert) -> str:
        return alert.severity

    @display(description="state", ordering="resolved_at", label=STATE_COLOURS)
    def state_label(self, alert: Alert) -> str:
        return "over" if alert.resolved_at else alert.state.replace("_", " ")

    @display(description="fired, UTC", ordering="fired_at")
    def fired(self, alert: Alert) -> str:
        return f"{alert.fired_at:%d %b %H:%M:%S}"

    @display(description="lasted")
    def lasted(self, alert: Alert) -> str:
        return incidents.span((alert.resolved_at or clock.now()) - alert.fired_at)

    @display(description="acknowledged by", ordering="acknowledged_by")
    def acknowledged(self, alert: Alert) -> str:
        return alert.acknowledged_by or ("" if alert.resolved_at else "nobody yet")

    @admin.action(description="Acknowledge: I take care of it", permissions=["acknowledge"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        count = incidents.acknowledge(queryset, request.user.get_username(), clock.now())
        self.message_user(request, f"{count} acknowledged by {request.user.get_username()}.")


class SilenceForm(forms.ModelForm):  # type: ignore[type-arg]
    """What cannot be shown is shown as it was typed."""

    class Meta:
        model = Silence
        exclude = ()
        field_classes = {"labels": AsTyped}


@admin.register(Silence)
class SilenceAdmin(Written):
    form = SilenceForm
    list_display = ("__str__", "labels", "author", "starts_at", "ends_at", "in_force")
    search_fields = ("rule", "reason", "author")
    readonly_fields = ("author",)
    actions = ("end",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # who kept quiet about what stays known

    def has_change_permission(self, request: HttpRequest, obj: Silence | None = None) -> bool:
        return obj is None and bool(super().has_change_permission(request, obj))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        now = clock.now()
        return {"starts_at": now, "ends_at": now + timedelta(hours=1), "labels": {}}

    @display(description="in force", boolean=True)
    def in_force(self, silence: Silence) -> bool:
        return silence.starts_at <= clock.now() < silence.ends_at

    def save_model(self, request: HttpRequest, obj: Silence, form: Any, change: bool) -> None:
        obj.author = request.user.get_username()
        obj.save()

    @admin.action(description="End now", permissions=["change"])
    def end(self, request: HttpRequest, queryset: QuerySet[Silence]) -> None:
        now = clock.now()
        self.message_user(request, f"{queryset.filter(ends_at__gt=now).update(ends_at=now)} ended.")


@admin.register(Receiver)
class ReceiverAdmin(Written):
    list_display = ("name", "kind", "target", "wedding", "at_least", "enabled", "waiting", "last_ok_at", "last_result")
    list_filter = ("kind", "at_least", "enabled")
    search_fields = ("name", "target")
    readonly_fields = ("last_ok_at", "last_result")
    actions = ("test_page",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Receiver]:
        unsent = Q(notices__sent_at=None, notices__given_up_at=None, notices__isnull=False)
        return super().get_queryset(request).annotate(waiting=Count("notices", filter=unsent))  # type: ignore[no-any-return]

    @display(description="waiting", ordering="waiting")
    def waiting(self, receiver: Any) -> int:
        return int(receiver.waiting)

    @admin.action(description="Page everybody as a test, to be acknowledged", permissions=["change"])
    def test_page(self, request: HttpRequest, queryset: QuerySet[Receiver]) -> None:
        paging.start(request.user.get_username(), clock.now())
        self.message_user(request, "A test page is on its way to everybody who takes pages.", messages.WARNING)


@admin.register(Notice)
class NoticeAdmin(ReadOnly, Written):
    list_display = ("created_at", "receiver", "severity_label", "about", "state_label", "tries", "sent_at", "result")
    list_filter = ("receiver", "severity", ("sent_at", admin.EmptyFieldListFilter), ("given_up_at", admin.EmptyFieldListFilter))
    list_select_related = ("receiver",)
    search_fields = ("key", "result", "content")
    date_hierarchy = "created_at"

    @display(description="severity", ordering="severity", label=SEVERITY_COLOURS)
    def severity_label(self, notice: Notice) -> str:
        return notice.severity

    @display(description="about")
    def about(self, notice: Notice) -> str:
        return ", ".join(f"{a['labels']['alertname']} {a['status']}" for a in notice.content[:3])

    @display(description="state", label=STATE_COLOURS)
    def state_label(self, notice: Notice) -> str:
        return "sent" if notice.sent_at else "given up" if notice.given_up_at else "waiting"


class IncidentForm(forms.ModelForm):  # type: ignore[type-arg]
    """What people add to an incident."""

    note = forms.CharField(
        required=False,
        max_length=2_000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="One more line on the time line, under your name.",
    )

    class Meta:
        model = Incident
        fields = ("title", "summary")


@admin.register(Incident)
class IncidentAdmin(CsvExport, Written):
    form = IncidentForm
    list_display = ("title", "state_label", "started_at", "detect", "acknowledge_time", "mitigate", "alert_count")
    list_filter = (("closed_at", admin.EmptyFieldListFilter), ("mitigated_at", admin.EmptyFieldListFilter))
    search_fields = ("title", "summary", "events__text")
    date_hierarchy = "started_at"
    change_form_before_template = "admin/monitoring/incident.html"
    fieldsets = (("For the record", {"fields": ("title", "summary", "note")}),)
    actions = ("export_csv",)
    actions_detail = ("export",)
    actions_submit_line = ("close",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Incident]:
        return super().get_queryset(request).annotate(alert_count=Count("alerts", distinct=True))  # type: ignore[no-any-return]

    @display(description="state", label=STATE_COLOURS)
    def state_label(self, incident: Incident) -> str:
        return incident.state

    @display(description="to detect")
    def detect(self, incident: Incident) -> str:
        return incidents.span(incidents.durations(incident)["detect"])

    @display(description="to acknowledge")
    def acknowledge_time(self, incident: Incident) -> str:
        return incidents.span(incidents.durations(incident)["acknowledge"])

    @display(description="to mitigate")
    def mitigate(self, incident: Incident) -> str:
        return incidents.span(incidents.durations(incident)["mitigate"])

    @display(description="alerts", ordering="alert_count")
    def alert_count(self, incident: Any) -> int:
        return int(incident.alert_count)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        incident = self.get_object(request, object_id or "")
        context = extra_context or {}
        if incident is not None:
            context |= {
                "incident": incident,
                "steps": [(name, incidents.span(took)) for name, took in incidents.durations(incident).items()],
                "weddings": incidents.weddings(incident),
                "events": [(event, IncidentEvent.Kind(event.kind).label) for event in incident.events.all()],
                "alerts": incident.alerts.order_by("fired_at"),
            }
        return super().changeform_view(request, object_id, form_url, context)

    def save_model(self, request: HttpRequest, obj: Incident, form: Any, change: bool) -> None:
        if form.cleaned_data.get("note"):
            author, text = request.user.get_username(), form.cleaned_data["note"]
            obj.events.create(at=clock.now(), kind=IncidentEvent.Kind.NOTE, text=text, author=author)
        super().save_model(request, obj, form, change)

    @action(description="Close", permissions=["change"])
    def close(self, request: HttpRequest, obj: Incident) -> None:
        if incidents.close(obj, request.user.get_username(), clock.now()):
            self.message_user(request, "Closed.")
        else:
            self.message_user(request, "It stays open: a page of it is still firing, or it was closed.", messages.ERROR)

    @action(description="Export as Markdown", url_path="markdown", permissions=["view"])
    def export(self, request: HttpRequest, object_id: str) -> HttpResponse:
        incident = self.get_object(request, object_id)
        if incident is None:
            raise Http404("There is no such incident.")
        response = HttpResponse(incidents.markdown(incident), content_type="text/markdown; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="incident-{incident.pk}.md"'
        return response
