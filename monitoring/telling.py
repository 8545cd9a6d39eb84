"""What people tell the scaler and the balancer: it holds and is in the audit, or neither."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from monitoring.models.audit import append
from monitoring.models.scaling import Said, ScalingMode, ScalingPin
from monitoring.router import ALIAS


def record(row: Said | ScalingMode, who: str, what: str, reason: str, now: datetime, target: str = "") -> None:
    """Save it with its entry in the audit. Raises ValidationError, and DatabaseError: then it does not hold."""
    with transaction.atomic(using=ALIAS):
        row.save()
        append(who, what, reason, now, target)


def pin(row: ScalingPin, now: datetime) -> None:
    """So many workers from now on. Raises as `record`."""
    record(row, row.who, f"pin {row.workers} workers", row.reason, now)


def unpin(who: str, now: datetime) -> None:
    """End what is pinned, if anything is; what is planned for later stays. Raises DatabaseError: then it goes on."""
    pinned = ScalingPin.objects.filter(at__lte=now, until__gt=now)
    with transaction.atomic(using=ALIAS):
        held = "; ".join(str(row) for row in pinned)
        if held:
            pinned.update(until=now)
            append(who, "unpin", f"Ended: {held}", now)


def set_mode(mode: str, who: str, now: datetime) -> None:
    """The mode of the scaler from now on. Raises as `record`."""
    record(ScalingMode(at=now, mode=mode, who=who), who, f"mode {mode}", "manage.py scale", now)
