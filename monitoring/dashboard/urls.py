"""The pages of the dashboard, below `/admin/monitoring/`."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from monitoring.dashboard import actions, history, views

_staff = admin.site.admin_view

urlpatterns = [
    path("", _staff(views.dashboard), name="dashboard"),
    path("weddings/<slug:slug>/", _staff(views.wedding), name="dashboard_wedding"),
    path("workers/<str:worker>/drain/", _staff(actions.drain), name="dashboard_drain"),
    path("history/", _staff(history.history), name="dashboard_history"),
    path("pin/", _staff(actions.pin), name="dashboard_pin"),
    path("unpin/", _staff(actions.unpin), name="dashboard_unpin"),
    path("alerts/<int:pk>/acknowledge/", _staff(actions.acknowledge), name="dashboard_acknowledge"),
]
