"""The Django app of the weddings."""

from django.apps import AppConfig


class WeddingsConfig(AppConfig):
    """Weddings, their people and their run sheets."""

    name = "wedsync.weddings"
    label = "weddings"
    verbose_name = "Weddings"
