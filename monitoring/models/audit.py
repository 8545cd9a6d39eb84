"""Who took which responsibility, and why: rows that are only ever added, each sealed over the one before it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec
from django.db import models, transaction

from monitoring.router import ALIAS


class AppendOnly(Exception):
    """Rows of the audit are neither changed nor deleted."""


class AuditRows(models.QuerySet["AuditEntry"]):
    """Everything that would change a row is refused."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly(AppendOnly.__doc__)

    def delete(self) -> NoReturn:
        raise AppendOnly(AppendOnly.__doc__)

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly(AppendOnly.__doc__)


class AuditEntry(models.Model):
    """One thing that somebody did on their own responsibility."""

    at = models.DateTimeField()
    who = models.CharField(max_length=120)
    what = models.CharField(max_length=80, help_text="Such as drill kill --live.")
    target = models.CharField(max_length=200, blank=True, help_text="The weddings or workers it is about.")
    reason = models.CharField(max_length=500)
    seal = models.CharField(max_length=64, editable=False, help_text="SHA-256 over this row and the seal of the one before.")

    objects = AuditRows.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.who}: {self.what}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises AppendOnly for a row that is there already."""
        if self.pk is not None:
            raise AppendOnly(AppendOnly.__doc__)
        with transaction.atomic(using=ALIAS):
            last = AuditEntry.objects.select_for_update().order_by("-id").first()
            self.seal = self.sealed(last.seal if last is not None else "")
            super().save(*args, force_insert=True)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly(AppendOnly.__doc__)

    def sealed(self, before: str) -> str:
        """What its seal is, after a row with the seal `before`."""
        at = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        row = [before, at, self.who, self.what, self.target, self.reason]
        return hashlib.sha256(msgspec.json.encode(row)).hexdigest()


def append(who: str, what: str, reason: str, now: datetime, target: str = "") -> AuditEntry:
    """Write it down. Raises DatabaseError: what cannot be written down must not be done."""
    entry = AuditEntry(at=now, who=who[:120], what=what[:80], target=target[:200], reason=reason[:500])
    entry.save()
    return entry


def first_broken() -> AuditEntry | None:
    """The oldest row whose seal does not fit; None: nothing was changed, and nothing is missing in between."""
    before = ""
    for entry in AuditEntry.objects.order_by("id").iterator():
        if entry.seal != entry.sealed(before):
            return entry
        before = entry.seal
    return None
