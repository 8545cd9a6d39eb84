"""What is left of a wedding's day: its minutes, and the signed report."""

from __future__ import annotations

from django.db import models


class WeddingMinute(models.Model):
    """One wedding, one minute, all its workers together."""

    wedding = models.SlugField(max_length=80)
    at = models.DateTimeField(help_text="When the minute began.")
    connections = models.JSONField(default=dict, help_text="{role: people connected, mean of the minute}.")
    deliveries = models.PositiveIntegerField()
    replayed = models.PositiveIntegerField()
    faults = models.PositiveIntegerField(help_text="Gaps, doubles and order faults that clients reported.")
    latency = models.JSONField(default=dict, help_text="{bucket: count} of P0 and P1 deliveries, see realtime/histogram.py.")

    class Meta:
        ordering = ["wedding", "at"]
        constraints = [models.UniqueConstraint(fields=["wedding", "at"], name="wedding_minute_once")]

    def __str__(self) -> str:
        return f"{self.wedding} {self.at:%Y-%m-%d %H:%M}"


class StoredReport(models.Model):
    """The report of a day that is over, as it was signed. The minutes it was made of may be pruned."""

    wedding = models.SlugField(max_length=80, unique=True)
    made_at = models.DateTimeField()
    file = models.TextField(help_text="What `manage.py day_report --verify` checks.")

    class Meta:
        verbose_name = "day report"
        ordering = ["-made_at"]

    def __str__(self) -> str:
        return self.wedding
