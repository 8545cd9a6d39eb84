"""Weddings in the Django admin. What is changed here reaches connected people with their next snapshot, not as it happens."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, F, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from realtime.clock import SystemClock
from realtime.models import Room
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
    readonly_fields = ("version",)

    @admin.display(description="start at the venue", ordering="start")
    def start_local(self, item: RunSheetItem) -> str:
        return f"{item.start.astimezone(item.wedding.zone):%a %H:%M}"

    def save_model(self, request: HttpRequest, obj: RunSheetItem, form: Any, change: bool) -> None:
        """Only the fields that were changed here, and a new version: a command may have moved the item meanwhile."""
        if not change:
            obj.save()
            return
        with transaction.atomic():
            Room.objects.select_for_update(no_key=True).get(name=obj.wedding.slug)
            if form.changed_data:
                obj.save(update_fields=form.changed_data)
                RunSheetItem.objects.filter(pk=obj.pk).update(version=F("version") + 1)


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
