"""HTTP URLs."""

from django.contrib import admin
from django.urls import include, path

from realtime import views

urlpatterns = [
    path("healthz", views.healthz),
    path("openz", views.openz),
    path("readyz", views.readyz),
    path("api/weddings/<slug:slug>/publish/", views.publish_view, name="publish"),
    path("admin/monitoring/", include("monitoring.dashboard.urls")),
    path("admin/", admin.site.urls),
    path("", include("monitoring.urls")),
    path("", include("wedsync.weddings.urls")),
]
