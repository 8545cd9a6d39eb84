"""Who took which responsibility, and why: rows that are only ever added, each sealed over the one before it.

The head knows how many there are and the last seal. Whoever adds a row changes the head first, which makes all others wait: so
no two rows follow the same one, and a last row that was taken out is missed.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec
from django.db import models, transaction
from django.db.models import F, Subquery

from monitoring.router import ALIAS

HEAD = 1
"""The only row of `AuditHead`."""


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


class AuditHead(models.Model):
    """One row: where the audit ends."""

    count = models.PositiveBigIntegerField(default=0)
    seal = models.CharField(max_length=64, blank=True, default="")

    def __str__(self) -> str:
        return f"the end of the audit, after {self.count} entries"


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
            head = _locked()
            self.seal = self.sealed(head.seal)
            super().save(*args, force_insert=True)
            AuditHead.objects.update(count=head.count + 1, seal=self.seal)

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


def first_broken() -> AuditEntry | AuditHead | None:
    """The oldest row whose seal does not fit, or the head when the last rows are missing; None: nothing was changed."""
    before, count = "", 0
    head = AuditHead.objects.first() or AuditHead()
    # The rows and their end in one question, so as of one moment: a row that is added meanwhile is in both or in neither.
    end = {f"end_{name}": Subquery(AuditHead.objects.values(name)[:1]) for name in ("count", "seal")}
    for entry in AuditEntry.objects.order_by("id").annotate(**end).iterator():
        if entry.seal != entry.sealed(before):
            return entry
        before, count = entry.seal, count + 1
        head.count, head.seal = entry.end_count, entry.end_seal  # type: ignore[attr-defined]
    return None if (head.count, head.seal) == (count, before) else head


def _locked() -> AuditHead:
    """The head, which nobody else changes until the end of the transaction. To write first is what locks on every database."""
    if not AuditHead.objects.update(count=F("count")):
        AuditHead.objects.create(pk=HEAD)
    return AuditHead.objects.get()
