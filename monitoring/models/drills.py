"""What was rehearsed, and whether it passed."""

from __future__ import annotations

from django.db import models


class DrillRun(models.Model):
    """One run of one drill. Kept for ever: what passed last is compared with what runs next."""

    name = models.CharField(max_length=40, db_index=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    passed = models.BooleanField()
    verdict = models.TextField(blank=True, help_text="In words: what was broken, or that nothing was.")
    options = models.JSONField(default=dict, help_text="Profile, connections, minutes, seed; for a rehearsal its date.")
    result = models.JSONField(default=dict, help_text="What `--json` prints.")

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{self.name} {self.started_at:%Y-%m-%d %H:%M}: {'passed' if self.passed else 'failed'}"
