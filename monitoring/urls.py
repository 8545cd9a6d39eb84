"""The pages of monitoring outside the admin."""

from django.urls import path

from monitoring import views

urlpatterns = [
    path("weddings/<slug:slug>/report/", views.day_report, name="day_report"),
    path("weddings/<slug:slug>/report.json", views.day_report_file, name="day_report_file"),
]
