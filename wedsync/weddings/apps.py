"""The Django app of the weddings."""

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in, user_logged_out


class WeddingsConfig(AppConfig):
    """Weddings, their people and their run sheets."""

    name = "wedsync.weddings"
    label = "weddings"
    verbose_name = "Weddings"

    def ready(self) -> None:
        """Tickets end with the login that they come from."""
        from wedsync.weddings import revocation

        user_logged_in.connect(revocation.logged_in)
        user_logged_out.connect(revocation.logged_out)
