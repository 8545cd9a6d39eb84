"""What an operator does from the dashboard: each is asked for on a page of its own that says what will happen, and done by a
POST with permission. Looking changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import ParamSpec, cast

from asgiref.sync import async_to_sync
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from monitoring import incidents, telling
from monitoring.dashboard.words import count
from monitoring.models.alerts import Alert, IncidentEvent
from monitoring.models.audit import append
from monitoring.models.scaling import REASON_CHARS, ScalingPin
from realtime.bootstrap import services
from realtime.clock import SystemClock
from realtime.errors import RegistryUnavailable
from realtime.report import Drain, WorkerReport

Asked = ParamSpec("Asked")
logger = logging.getLogger(__name__)
clock = SystemClock()
WORKERS_MOST = 200
UNWRITTEN = "The history database does not answer: it cannot be written down, so nothing was done."
AWAY = "The registry does not answer: the workers cannot be told anything now."


class DrainForm(forms.Form):
    """Why, and how long people may take."""

    reason = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget, help_text="It is on the time line, under your name."
    )
    deadline_s = forms.TypedChoiceField(
        label="Whoever has not gone elsewhere is sent away after",
        coerce=int,
        choices=[(30, "30 seconds"), (60, "a minute"), (300, "5 minutes")],
        initial=60,
        widget=UnfoldAdminSelectWidget,
    )


class PinForm(forms.Form):
    """So many workers, for how long, and why."""

    workers = forms.IntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(WORKERS_MOST)], widget=UnfoldAdminIntegerFieldWidget
    )
    hours = forms.TypedChoiceField(
        label="For",
        coerce=float,
        choices=[(0.5, "half an hour"), (2, "2 hours"), (6, "6 hours"), (12, "12 hours"), (24, "24 hours")],
        initial=2,
        widget=UnfoldAdminSelectWidget,
        help_text="Then load and calendar decide again.",
    )
    reason = forms.CharField(max_length=REASON_CHARS, widget=UnfoldAdminTextInputWidget)


class Sure(forms.Form):
    """Nothing but the button."""


def _confirm(
    request: HttpRequest, form: forms.Form, title: str, what: list[str], button: str, danger: bool = False
) -> HttpResponse:
    context = admin.site.each_context(request) | {
        "title": title, "form": form, "what": what, "button": button, "danger": danger,
    }  # fmt: skip
    return TemplateResponse(request, "admin/monitoring/dashboard/confirm.html", context)


def _done(request: HttpRequest, sentence: str, level: int = messages.SUCCESS) -> HttpResponse:
    messages.add_message(request, level, sentence)
    return redirect("dashboard")


def _or_nothing(view: Callable[Asked, HttpResponse]) -> Callable[Asked, HttpResponse]:
    """Says so when the history database does not answer: each view writes there before it does anything."""

    @wraps(view)
    def answer(*args: Asked.args, **kwargs: Asked.kwargs) -> HttpResponse:
        try:
            return view(*args, **kwargs)
        except DatabaseError as error:
            logger.error("%s is not done: %s", view.__name__, error)
            return _done(cast(HttpRequest, args[0]), UNWRITTEN, messages.ERROR)

    return answer


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("monitoring.drain_worker", raise_exception=True)
@_or_nothing
def drain(request: HttpRequest, worker: str) -> HttpResponse:
    """Ask one worker to send its people elsewhere and to end. Not the last one: there would be nowhere to go."""
    try:
        reports = async_to_sync(services().registry.reports)()
    except RegistryUnavailable:
        return _done(request, AWAY, messages.ERROR)
    found = next((report for report in reports if report.worker == worker), None)
    if found is None:
        return _done(request, "This worker is not there any more.", messages.WARNING)
    if found.state == "draining":
        return _done(request, f"{found.slot} is being drained already.", messages.WARNING)
    others = [report for report in reports if report.state == "ready" and report.worker != worker]
    if not others:
        return _done(request, f"{found.slot} is the only worker that takes people: nobody could take its own.", messages.ERROR)
    form = DrainForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return _drain(request, found, form.cleaned_data["reason"], form.cleaned_data["deadline_s"])
    return _confirm(request, form, f"Drain {found.slot}?", _consequences(found, others), f"Drain {found.slot}", danger=True)


def _consequences(found: WorkerReport, others: list[WorkerReport]) -> list[str]:
    people, weddings = sum(found.connections.values()), len(found.weddings)
    slots = ", ".join(report.slot for report in others)
    return [
        f"{count(people, 'connection')} of {count(weddings, 'wedding')} are asked to go to {slots}, planners last.",
        "Each opens its new connection before it closes the old one: nobody misses anything.",
        f"When it is empty {found.slot} ends, and its supervisor starts a new one in its place.",
    ]


def _drain(request: HttpRequest, found: WorkerReport, reason: str, deadline_s: float) -> HttpResponse:
    who, now = request.user.get_username(), clock.now()
    append(who, "drain", reason, now, found.worker)
    try:
        async_to_sync(services().registry.order)(found.worker, Drain(f"{reason} ({who})", deadline_s))
    except RegistryUnavailable:
        return _done(request, AWAY, messages.ERROR)
    logger.warning("%s drains %s: %s", who, found.worker, reason)
    try:
        incidents.note(IncidentEvent.Kind.DRAIN, f"{found.slot} is drained: {reason}", now, who)
    except DatabaseError as error:
        logger.error("the time line does not have it: %s", error)
    return _done(request, f"{found.slot} is told to send its people elsewhere.")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("monitoring.add_scalingpin", raise_exception=True)
@_or_nothing
def pin(request: HttpRequest) -> HttpResponse:
    """So many workers, whatever load and calendar say, until a time."""
    have = _have()
    form = PinForm(request.POST or None, initial={"workers": have})
    if request.method == "POST" and form.is_valid():
        now, asked, who = clock.now(), form.cleaned_data, request.user.get_username()
        until = now + timedelta(hours=asked["hours"])
        try:
            row = ScalingPin(at=now, until=until, workers=asked["workers"], who=who, reason=asked["reason"])
            telling.pin(row, now)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            return _done(request, f"Pinned: {row}.")
    what = [
        "The fleet is brought to this number whatever load and calendar ask for, in every mode of the scaler.",
        "It ends by itself; until then a higher load adds no worker.",
        f"Now: {count(have, 'worker')}." if have else "How many there are now is not known.",
    ]
    return _confirm(request, form, "Pin the number of workers", what, "Pin")


def _have() -> int | None:
    """How many workers report; None: they cannot be asked."""
    try:
        return len(async_to_sync(services().registry.reports)()) or None
    except RegistryUnavailable:
        return None


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("monitoring.add_scalingpin", raise_exception=True)
@_or_nothing
def unpin(request: HttpRequest) -> HttpResponse:
    """End the pin that holds now."""
    now = clock.now()
    held = ScalingPin.objects.filter(at__lte=now, until__gt=now).first()
    if held is None:
        return _done(request, "Nothing is pinned.", messages.WARNING)
    if request.method == "POST":
        telling.unpin(request.user.get_username(), now)
        return _done(request, "The pin has ended; load and calendar decide again.")
    return _confirm(request, Sure(), "End the pin?", [f"It says: {held}.", "Load and calendar decide again."], "End the pin")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@permission_required("monitoring.acknowledge_alert", raise_exception=True)
@_or_nothing
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Take care of one alert, under one's own name."""
    alert = get_object_or_404(Alert, pk=pk)
    if alert.acknowledged_at or alert.resolved_at:
        said = f"{alert.acknowledged_by} takes care of it." if alert.acknowledged_by else "It is over."
        return _done(request, said, messages.WARNING)
    if request.method == "POST":
        if incidents.acknowledge([alert], request.user.get_username(), clock.now()):
            return _done(request, f"You take care of it: {alert}.")
        return _done(request, "Somebody was faster, or it is over.", messages.WARNING)
    what = [f"{alert}: {alert.reason}.", "The others see your name, and nobody is reminded of it any more."]
    return _confirm(request, Sure(), "Acknowledge this alert?", what, "I take care of it")
