"""The Django app of the weddings."""

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in


class WeddingsConfig(AppConfig):
    """Weddings, their people and their run sheets."""

    name = "wedsync.weddings"
    label = "weddings"
    verbose_name = "Weddings"

    def ready(self) -> None:
        """Tickets carry the name of the login that they come from; its session ends it (`wedsync.sessions`)."""
        from wedsync.weddings import revocation

        user_logged_in.connect(revocation.logged_in)
