"""What is left of a wedding's day: its minutes, and the signed report."""

from __future__ import annotations

from typing import Self

from django.db import models

from monitoring.day_report import Minute


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

    @classmethod
    def of(cls, wedding: str, minute: Minute) -> Self:
        """The row of a minute, not saved."""
        return cls(
            wedding=wedding,
            at=minute.at,
            connections=minute.connections,
            deliveries=minute.deliveries,
            replayed=minute.replayed,
            faults=minute.faults,
            latency={str(index): count for index, count in minute.latency.items()},
        )

    def minute(self) -> Minute:
        """What was stored."""
        latency = {int(index): count for index, count in self.latency.items()}
        return Minute(self.at, self.connections, self.deliveries, self.replayed, self.faults, latency)

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
