"""The pages of monitoring outside the admin."""

from django.urls import path

from monitoring import metrics_views, views

urlpatterns = [
    path("metrics", metrics_views.metrics, name="metrics"),
    path("metrics/targets", metrics_views.targets, name="metrics_targets"),
    path("metrics/workers/<str:slot>", metrics_views.worker, name="metrics_worker"),
    path("weddings/<slug:slug>/report/", views.day_report, name="day_report"),
    path("weddings/<slug:slug>/report.json", views.day_report_file, name="day_report_file"),
]
