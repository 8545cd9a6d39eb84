"""The Django app of the weddings."""

from django.apps import AppConfig
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import pre_save


class WeddingsConfig(AppConfig):
    """Weddings, their people and their run sheets."""

    name = "wedsync.weddings"
    label = "weddings"
    verbose_name = "Weddings"

    def ready(self) -> None:
        """Tickets carry the name of the login that they come from; its session ends it (`wedsync.sessions`)."""
        from wedsync.weddings import revocation

        user_logged_in.connect(revocation.logged_in)
        pre_save.connect(revocation.saving, sender=settings.AUTH_USER_MODEL)
