"""Weddings in the Django admin. A run sheet that is changed here changes on everybody's screen."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, F, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from realtime.clock import SystemClock
from realtime.models import Room
from realtime.publish import publish
from wedsync.weddings.models import ApiToken, Member, RunSheetItem, Wedding


@admin.register(Wedding)
class WeddingAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("names", "slug", "venue", "timezone", "ceremony_local", "invited_guests", "vendors", "people", "demo")
    list_filter = ("demo", "timezone")
    search_fields = ("names", "slug", "venue")
    date_hierarchy = "ceremony_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Wedding]:
        return super().get_queryset(request).annotate(people=Count("members"))  # type: ignore[no-any-return]

    def get_readonly_fields(self, request: HttpRequest, obj: Wedding | None = None) -> tuple[str, ...]:
        return () if obj is None else ("slug",)  # it names the room and its journal

    @admin.display(description="ceremony at the venue", ordering="ceremony_at")
    def ceremony_local(self, wedding: Wedding) -> str:
        return f"{wedding.ceremony_at.astimezone(wedding.zone):%a %d %b %Y %H:%M}"

    @admin.display(ordering="people")
    def people(self, wedding: Any) -> int:
        return int(wedding.people)


@admin.register(Member)
class MemberAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "role", "title", "wedding", "user", "revoked")
    list_filter = ("role", "revoked", "wedding")
    list_select_related = ("wedding", "user")
    search_fields = ("name", "title", "wedding__slug", "user__username")
    autocomplete_fields = ("wedding", "user")
    readonly_fields = ("join_path",)
    actions = ("revoke",)

    @admin.display(description="join link")
    def join_path(self, member: Member) -> str:
        return f"/join/{member.join_key}/" if member.pk else "given when saved"

    @admin.action(description="Revoke: the join link and the session are no longer accepted", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Member]) -> None:
        self.message_user(request, f"{queryset.update(revoked=True)} revoked.")


@admin.register(RunSheetItem)
class RunSheetItemAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("title", "wedding", "start_local", "minutes", "where", "kind", "status", "visibility", "version")
    list_filter = ("wedding", "kind", "status", "visibility")
    list_select_related = ("wedding",)
    search_fields = ("title", "where", "notes", "wedding__slug")
    autocomplete_fields = ("wedding",)

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
