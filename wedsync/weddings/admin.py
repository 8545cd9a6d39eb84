"""Weddings in the Django admin. A run sheet that is changed here changes on everybody's screen."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import action

from realtime.clock import SystemClock
from realtime.models import Room
from realtime.publish import publish
from realtime.revoked import link_name
from wedsync.weddings import calendars, runsheets
from wedsync.weddings.admin_forms import ItemForm, VenueTimeAdmin
from wedsync.weddings.admin_imports import Import, import_view
from wedsync.weddings.comparing import calendar_changes, left_behind, runsheet_changes, staying_said
from wedsync.weddings.exporting import runsheet_csv
from wedsync.weddings.models import ApiToken, Member, RunSheetItem, Wedding, Withdrawn, new_key
from wedsync.weddings.tables import is_zone


@admin.register(Wedding)
class WeddingAdmin(VenueTimeAdmin):
    list_display = ("names", "slug", "venue", "timezone", "ceremony_local", "invited_guests", "vendors", "people", "demo")
    list_filter = ("demo", "timezone")
    search_fields = ("names", "slug", "venue")
    date_hierarchy = "ceremony_at"
    moment = "ceremony_at"
    actions_list = ("import_calendar",)
    actions_detail = ("import_runsheet", "export_runsheet")

    @action(description="Import a calendar", url_path="import-calendar", permissions=["add"])
    def import_calendar(self, request: HttpRequest) -> HttpResponse:
        """Weddings from a table, with a preview."""

        def store(table: str) -> str:
            rows = calendars.read(table)
            staying = staying_said(left_behind(rows))
            done = ", ".join(f"{count} {what}" for what, count in calendars.store(rows).items())
            return f"{done}. {staying}".strip()

        about = "New weddings are added, those with a known slug updated; nothing is removed. Times are local to the venue."
        return import_view(
            request,
            Import(lambda table: calendar_changes(calendars.read(table)), store),
            context=self.admin_site.each_context(request)
            | {"title": "Import a calendar", "about": about, "columns": calendars.COLUMNS, "opts": self.opts},
            done_url=reverse("admin:weddings_wedding_changelist"),
        )

    @action(description="Import the run sheet", url_path="import-runsheet", permissions=["change"])
    def import_runsheet(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The run sheet of one wedding from a table, with a preview."""
        wedding = self._wedding(request, object_id)
        day = wedding.ceremony_at.astimezone(wedding.zone).date()

        def store(table: str) -> str:
            loaded = runsheets.load(wedding, runsheets.read(table, day, wedding.zone))
            return f"{len(loaded.changed)} items are new or changed, {len(loaded.removed)} are gone; everybody sees it now."

        about = (
            f"The table becomes the run sheet of {wedding.names}; people who are connected see the change at once. "
            f"Times are local to {wedding.venue}; 'visibility' may be left out. An export keeps what is there now."
        )
        return import_view(
            request,
            Import(
                preview=lambda table: runsheet_changes(wedding, runsheets.read(table, day, wedding.zone)),
                store=store,
                hold=lambda: runsheets.hold(wedding),
            ),
            context=self.admin_site.each_context(request)
            | {
                "title": f"Import a run sheet: {wedding.names}",
                "about": about,
                "columns": [*runsheets.COLUMNS, *runsheets.OPTIONAL],
                "opts": self.opts,
            },
            done_url=reverse("admin:weddings_wedding_change", args=[wedding.pk]),
        )

    @action(description="Export the run sheet", url_path="export-runsheet", permissions=["view"])
    def export_runsheet(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """As CSV; formulas in cells are made text."""
        wedding = self._wedding(request, object_id)
        disposition = f'attachment; filename="{wedding.slug}.csv"'
        return HttpResponse(runsheet_csv(wedding), "text/csv; charset=utf-8", headers={"Content-Disposition": disposition})

    def _wedding(self, request: HttpRequest, object_id: str) -> Wedding:
        wedding: Wedding | None = self.get_object(request, object_id)
        if wedding is None:
            raise Http404("There is no such wedding.")
        return wedding

    def venue_zone(self, request: HttpRequest, obj: Wedding | None) -> ZoneInfo | None:
        name = request.POST.get("timezone", obj.timezone if obj else "")
        return ZoneInfo(name) if is_zone(name) else None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Wedding]:
        return super().get_queryset(request).annotate(people=Count("members"))  # type: ignore[no-any-return]

    def get_readonly_fields(self, request: HttpRequest, obj: Wedding | None = None) -> tuple[str, ...]:
        return () if obj is None else ("slug",)  # it names the room and its journal

    def save_model(self, request: HttpRequest, obj: Wedding, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and {"ceremony_at", "timezone"} & set(form.changed_data) and (n_items := obj.items.count()):
            self.message_user(request, staying_said({obj.slug: n_items}), messages.WARNING)

    @admin.display(description="ceremony at the venue", ordering="ceremony_at")
    def ceremony_local(self, wedding: Wedding) -> str:
        return f"{wedding.ceremony_at.astimezone(wedding.zone):%a %d %b %Y %H:%M}"

    @admin.display(ordering="people")
    def people(self, wedding: Any) -> int:
        return int(wedding.people)


@admin.register(Member)
class MemberAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "role", "title", "wedding", "user", "link_state")
    list_filter = ("role", "revoked", "wedding")
    list_select_related = ("wedding", "user")
    search_fields = ("name", "title", "wedding__slug", "user__username")
    autocomplete_fields = ("wedding", "user")
    actions = ("revoke", "renew")

    def get_readonly_fields(self, request: HttpRequest, obj: Member | None = None) -> tuple[str, ...]:
        # Tickets name the wedding and the member: whoever moves is added there and deleted here.
        return ("join_link",) if obj is None else ("join_link", "wedding")

    def get_form(self, request: HttpRequest, obj: Member | None = None, change: bool = False, **kwargs: Any) -> Any:
        self._site_url = request.build_absolute_uri("/")
        return super().get_form(request, obj, change, **kwargs)

    @admin.display(description="join link", ordering="revoked")
    def link_state(self, member: Member) -> str:
        return "revoked" if member.revoked else "active"

    @admin.display(description="join link")
    def join_link(self, member: Member) -> str:
        """To be copied and sent; whoever opens it is this member."""
        if not member.pk:
            return "given when saved"
        if member.revoked:
            return "revoked: nobody comes in with it. The action 'New join link' gives another one"
        return format_html('<span style="overflow-wrap: anywhere">{}join/{}/</span>', self._site_url, member.join_key)

    @admin.action(description="Revoke: the join link and the session are no longer accepted", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Member]) -> None:
        self.message_user(request, f"{queryset.update(revoked=True)} revoked; who is connected goes within two seconds.")

    @admin.action(description="New join link: the old one no longer works", permissions=["change"])
    def renew(self, request: HttpRequest, queryset: QuerySet[Member]) -> None:
        with transaction.atomic():
            members = list(queryset.order_by("pk").select_for_update(of=("self",)))
            Withdrawn.note([(Withdrawn.NOBODY, link_name(member.join_key)) for member in members])
            for member in members:
                member.join_key, member.revoked = new_key(), False
                member.save(update_fields=["join_key", "revoked"])
        self.message_user(request, f"{len(members)} new join links; who came in by the old ones goes within two seconds.")


@admin.register(RunSheetItem)
class RunSheetItemAdmin(VenueTimeAdmin):
    list_display = ("title", "wedding", "start_local", "minutes", "where", "kind", "status", "visibility", "version")
    list_filter = ("wedding", "kind", "status", "visibility")
    list_select_related = ("wedding",)
    search_fields = ("title", "where", "notes", "wedding__slug")
    autocomplete_fields = ("wedding",)
    form = ItemForm
    moment = "start"

    def venue_zone(self, request: HttpRequest, obj: RunSheetItem | None) -> ZoneInfo | None:
        if obj is not None:
            return obj.wedding.zone
        chosen = request.POST.get("wedding", "")
        wedding = Wedding.objects.filter(pk=chosen).first() if chosen.isdecimal() else None
        return None if wedding is None else wedding.zone

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        with transaction.atomic():
            item = self.get_object(request, object_id) if object_id else None
            if item is not None and request.method == "POST":
                runsheets.hold(item.wedding)  # what the form is compared with is what is changed
            return super().changeform_view(request, object_id, form_url, extra_context)

    def get_fields(self, request: HttpRequest, obj: RunSheetItem | None = None) -> list[str]:
        kept = obj is not None and self.has_change_permission(request, obj)
        return [name for name in super().get_fields(request, obj) if kept or name != "shown"]

    def get_readonly_fields(self, request: HttpRequest, obj: RunSheetItem | None = None) -> tuple[str, ...]:
        # Who has seen an item cannot unsee it: delete it and add a new one for fewer people.
        return ("version",) if obj is None else ("version", "wedding", "visibility")

    @admin.display(description="start at the venue", ordering="start")
    def start_local(self, item: RunSheetItem) -> str:
        return f"{item.start.astimezone(item.wedding.zone):%a %H:%M}"

    def save_model(self, request: HttpRequest, obj: RunSheetItem, form: Any, change: bool) -> None:
        """Only the fields that were changed here, and a new version: a command may have moved the item meanwhile."""
        with transaction.atomic():
            Room.objects.select_for_update(no_key=True).get(name=obj.wedding.slug)
            if not change:
                obj.save()
            elif form.changed_data:
                obj.save(update_fields=form.changed_data)
                RunSheetItem.objects.filter(pk=obj.pk).update(version=F("version") + 1)
            publish(obj.wedding.slug, "timeline.sheet", {})

    def delete_model(self, request: HttpRequest, obj: RunSheetItem) -> None:
        self.delete_queryset(request, RunSheetItem.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[RunSheetItem]) -> None:
        """Items go from everybody's screen too."""
        with transaction.atomic():
            removed: dict[str, dict[str, list[int]]] = {}
            for item in queryset.select_related("wedding"):
                removed.setdefault(item.wedding.slug, {}).setdefault(item.visibility, []).append(item.pk)
            list(Room.objects.select_for_update(no_key=True).filter(name__in=removed).order_by("id"))
            queryset.delete()
            for slug, gone in removed.items():
                runsheets.forget(slug, {pk for pks in gone.values() for pk in pks})
                publish(slug, "timeline.sheet", {"removed": gone})


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "wedding", "created_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "wedding")
    list_select_related = ("wedding",)
    search_fields = ("name", "wedding__slug")
    autocomplete_fields = ("wedding",)
    readonly_fields = ("sha256", "created_at", "revoked_at")
    actions = ("revoke",)

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        if change:
            obj.save()
        else:
            token = obj.save_new()
            self.message_user(request, f"The token, shown only this once: {token}", messages.WARNING)

    @admin.action(description="Revoke: programs with this token can no longer publish", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        count = queryset.filter(revoked_at=None).update(revoked_at=SystemClock().now())
        self.message_user(request, f"{count} revoked.")
