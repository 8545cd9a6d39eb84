"""The sidebar of the admin: the dashboard first, then every model this person may see."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

_ICONS = {"monitoring": "monitoring", "weddings": "favorite", "auth": "group"}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Unfold's SIDEBAR navigation."""
    here = (request.resolver_match and request.resolver_match.url_name) or ""
    # Unfold goes by the beginning of the path, which the dashboard shares with everything of this app.
    live = here.startswith("dashboard") and here != "dashboard_history"
    pages: list[dict[str, Any]] = [{"title": "Live dashboard", "icon": "speed", "link": reverse("dashboard"), "active": live}]
    pages.append({"title": "History", "icon": "show_chart", "link": reverse("dashboard_history")})
    if request.user.has_perm("monitoring.view_drillrun"):
        readiness = reverse("admin:monitoring_drillrun_readiness")
        pages.append({"title": "Readiness", "icon": "event_available", "link": readiness})
    groups: list[dict[str, Any]] = [{"title": "Operations", "items": pages}]
    for app in admin.site.get_app_list(request):
        items = [{"title": model["name"], "link": model["admin_url"]} for model in app["models"] if model.get("admin_url")]
        groups.append({"title": app["name"], "separator": True, "collapsible": True, "items": items})
    return groups
