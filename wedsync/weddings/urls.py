"""The pages."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from wedsync.weddings import views

urlpatterns = [
    path("", views.index, name="index"),
    path("login/", views.page(LoginView.as_view(redirect_authenticated_user=True)), name="login"),
    path("logout/", views.page(LogoutView.as_view()), name="logout"),
    path("join/<str:key>/", views.join, name="join"),
    path("worker.js", views.worker, name="worker"),
    path("weddings/<slug:slug>/", views.wedding, name="wedding"),
    path("weddings/<slug:slug>/preview/", views.preview, name="preview"),
]
