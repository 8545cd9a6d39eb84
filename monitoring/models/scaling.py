"""What the scaler and the balancer decided, and what people told them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from realtime.policy.rebalancing import MovePlan
from realtime.policy.scaling import Mode, Orders, Pin, ScalingDecision
from realtime.policy.windows import OVERRIDE_MAX, Override

PIN_MAX = timedelta(hours=24)
"""A number that nobody looks at for longer is a setting."""
PINNED_MAX = 1_000
"""Workers: a fleet of a million people."""
REASON_CHARS = 300


class ScalingEvent(models.Model):
    """One decision of the scaler: when something changed, or once a minute."""

    at = models.DateTimeField(db_index=True)
    have = models.PositiveIntegerField()
    want = models.PositiveIntegerField()
    needed = models.PositiveIntegerField(help_text="Before steps, bands and what speaks against it.")
    formula = models.CharField(max_length=20, help_text="What asked for most.")
    reason = models.CharField(max_length=REASON_CHARS)
    mode = models.CharField(max_length=6)
    acted = models.BooleanField(help_text="It was carried out, not only said.")
    inputs = models.JSONField(help_text="{formula: workers it asks for}; what was not measured is absent.")

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.have} -> {self.want}: {self.reason}"

    @classmethod
    def of(cls, decision: ScalingDecision, at: datetime) -> Self:
        """The row of a decision, not saved."""
        return cls(
            at=at,
            have=decision.have,
            want=decision.want,
            needed=decision.needed,
            formula=decision.formula,
            reason=decision.reason[:REASON_CHARS],
            mode=decision.mode,
            acted=decision.act,
            inputs=decision.needs,
        )


class PlacementEvent(models.Model):
    """One wedding was asked to go from one worker to another."""

    at = models.DateTimeField(db_index=True)
    wedding = models.CharField(max_length=80, db_index=True)
    source = models.CharField("from", max_length=40)
    target = models.CharField("to", max_length=40)
    sockets = models.PositiveIntegerField()
    reason = models.CharField(max_length=REASON_CHARS)

    class Meta:
        ordering = ["-at", "-id"]
        permissions = [("drain_worker", "Can drain a worker")]

    def __str__(self) -> str:
        return f"{self.wedding}: {self.source} -> {self.target}"

    @classmethod
    def of(cls, move: MovePlan, at: datetime) -> Self:
        """The row of a move, not saved."""
        return cls(
            at=at,
            wedding=move.wedding,
            source=move.source,
            target=move.target,
            sockets=move.sockets,
            reason=move.reason[:REASON_CHARS],
        )


class Said(models.Model):
    """Something a person has said, for a while, and answers for."""

    at = models.DateTimeField("since", db_index=True)
    until = models.DateTimeField()
    who = models.CharField(max_length=120)
    reason = models.CharField(max_length=REASON_CHARS)
    longest = PIN_MAX

    class Meta:
        abstract = True
        ordering = ["-at", "-id"]

    def clean(self) -> None:
        """Raises ValidationError without a person or a reason, or when it ends before it begins or too late. What was planned
        may be called off: then it ends before it has begun."""
        if not self.who.strip() or not self.reason.strip():
            raise ValidationError("A person and a reason are needed.")
        if not self.at or not self.until:
            return  # the fields say so themselves
        if not (self.pk is not None or self.at < self.until) or self.until > self.at + self.longest:
            raise ValidationError(
                {"until": f"It ends after its beginning and within {self.longest.total_seconds() / 3600:g} h."}
            )

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.full_clean()
        super().save(*args, **kwargs)


class ScalingPin(Said):
    """So many workers, whatever the load says."""

    workers = models.PositiveIntegerField(validators=[MinValueValidator(1)])

    def clean(self) -> None:
        """Raises ValidationError as every `Said` does, and for a slip of the hand."""
        super().clean()
        if self.workers is not None and self.workers > PINNED_MAX:
            raise ValidationError({"workers": f"At most {PINNED_MAX:,}."})

    def __str__(self) -> str:
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return f"{workers} until {self.until:%H:%M} UTC: {self.who}, {self.reason}"


class WindowOverride(Said):
    """Deploys and moves may go on although weddings have their day."""

    longest = OVERRIDE_MAX

    def __str__(self) -> str:
        return f"until {self.until:%H:%M} UTC: {self.who}, {self.reason}"

    def value(self) -> Override:
        """As `realtime.policy.windows.held_by` wants it."""
        return Override(self.who, self.reason, self.until.timestamp())


class ScalingMode(models.Model):
    """Which mode the scaler is in, since when, and who said so; the newest counts."""

    class Mode(models.TextChoices):
        OFF = "off", "off: decides, says nothing"
        ADVISE = "advise", "advise: says what it would do"
        AUTO = "auto", "auto: does it"

    at = models.DateTimeField(db_index=True)
    mode = models.CharField(max_length=6, choices=Mode.choices)
    who = models.CharField(max_length=120)

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.mode}, {self.who}"


def orders(now: datetime, default: Mode = "advise", firing: str = "", overridden: bool = False) -> Orders:
    """What people have said, as it stands at `now`. `firing`: the alert of a broken promise that fires, "" for none;
    `overridden`: somebody answers for it that ceremonies are not waited for."""
    pin = ScalingPin.objects.filter(at__lte=now, until__gt=now).first()
    mode = ScalingMode.objects.filter(at__lte=now).first()
    return Orders(
        mode=mode.mode if mode is not None else default,  # type: ignore[arg-type]
        pin=Pin(pin.workers, pin.until.timestamp(), pin.who, pin.reason) if pin is not None else None,
        firing=firing,
        overridden=overridden,
    )


def overrides(now: datetime) -> list[Override]:
    """The overrides of event windows that hold at `now`."""
    return [said.value() for said in WindowOverride.objects.filter(at__lte=now, until__gt=now)]
