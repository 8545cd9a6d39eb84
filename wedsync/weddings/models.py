"""Weddings, the people in them and the run sheet of the day. Times are stored in UTC and shown in the venue's zone."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from realtime.clock import SystemClock
from realtime.fence import PREFIX, fenced
from realtime.kinds import FIRST, LAST
from realtime.models import Room
from realtime.policy.windows import event_window
from realtime.roles import OPS, ROLES
from wedsync.weddings.tables import is_zone

MEMBER_ROLES = [(name, name.capitalize()) for name in ROLES if name not in ("load", "staff")]
WINDOW_BEFORE = timedelta(hours=2)
WINDOW_AFTER = timedelta(hours=2)
EARLIEST, LATEST = FIRST + timedelta(days=1), LAST - timedelta(days=1)
"""What happens at a wedding is between these: its day begins hours before and ends hours after, in any time zone."""


NO_MOMENT = (
    f"Must be between {EARLIEST:%Y-%m-%d} and {LATEST:%Y-%m-%d}, with its end, so that it can be shown in every time zone."
)


def validate_zone(name: str) -> None:
    """Raises ValidationError when this is no time zone of the IANA database."""
    if not is_zone(name):
        raise ValidationError(f"{name!r} is not a time zone; use a name such as Europe/London.")


def tellable(start: datetime, minutes: int = 0) -> bool:
    """Whether pages can show when this begins and ends, and the day around it."""
    return EARLIEST <= start <= LATEST and minutes <= (LATEST - start) / timedelta(minutes=1)


def new_key() -> str:
    """An unguessable key for a join link, 128 bits."""
    return secrets.token_urlsafe(16)


class Wedding(models.Model):
    """One wedding. Saving it opens its room."""

    slug = models.SlugField(max_length=80, unique=True)
    names = models.CharField(max_length=160, help_text="As on the invitation, such as Ana & Tom.")
    venue = models.CharField(max_length=160)
    timezone = models.CharField(max_length=60, validators=[validate_zone], help_text="Of the venue, such as Europe/London.")
    ceremony_at = models.DateTimeField()
    invited_guests = models.PositiveIntegerField(default=0)
    vendors = models.PositiveIntegerField(default=0)
    planners = models.PositiveIntegerField(default=0)
    expected_connections = models.PositiveIntegerField(default=0, help_text="People connected at the peak; 0: not known.")
    demo = models.BooleanField(default=False, help_text="Made by the demo; never counts as a real wedding.")

    class Meta:
        ordering = ["ceremony_at", "slug"]

    def __str__(self) -> str:
        return f"{self.names} ({self.slug})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)
            Room.objects.get_or_create(name=self.slug)

    def clean(self) -> None:
        """Raises ValidationError for a name that is kept for drills, where nothing would count, or for the operators' room."""
        if fenced(self.slug):
            raise ValidationError({"slug": f"Names that begin with {PREFIX} are kept for drills."})
        if self.slug == OPS:
            raise ValidationError({"slug": f"{OPS!r} is the operators' own room; please choose another name."})
        if self.ceremony_at is not None and not tellable(self.ceremony_at):
            raise ValidationError({"ceremony_at": NO_MOMENT})

    @property
    def zone(self) -> ZoneInfo:
        """The venue's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def window(self) -> tuple[datetime, datetime]:
        """(start, end) of the wedding day in venue time: while it lasts nothing is deployed or moved under its people."""
        times = [(item.start, item.start + timedelta(minutes=item.minutes)) for item in self.items.all()]
        if times:
            start, end = min(s for s, _ in times) - WINDOW_BEFORE, max(e for _, e in times) + WINDOW_AFTER
        else:
            day = event_window(self.slug, self.ceremony_at, self.zone)
            start, end = (datetime.fromtimestamp(at_s, UTC) for at_s in (day.opens_s, day.closes_s))
        return start.astimezone(self.zone), end.astimezone(self.zone)


class Member(models.Model):
    """A person in a wedding. Vendors and guests come in by their join link, without an account."""

    wedding = models.ForeignKey(Wedding, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)
    name = models.CharField(max_length=120)
    role = models.CharField(max_length=16, choices=MEMBER_ROLES)
    title = models.CharField(max_length=80, blank=True, help_text="What they do, such as DJ.")
    join_key = models.CharField(max_length=40, unique=True, default=new_key, editable=False)
    revoked = models.BooleanField(default=False, help_text="The join link no longer works and the session is not accepted.")

    class Meta:
        ordering = ["wedding", "role", "name"]
        constraints = [models.UniqueConstraint(fields=["wedding", "user"], name="member_user_once")]
        # Every worker asks for them every second.
        indexes = [models.Index(fields=["revoked"], name="member_revoked", condition=models.Q(revoked=True))]

    def __str__(self) -> str:
        return f"{self.name}, {self.role}"

    @classmethod
    def welcome(cls) -> models.QuerySet[Member]:
        """Who may come in: those who are not revoked, nor have an account that was deactivated."""
        return cls.objects.filter(models.Q(user=None) | models.Q(user__is_active=True), revoked=False)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Tickets for a role that is changed here are no longer good."""
        changing = self.pk is not None and "role" in (kwargs.get("update_fields") or ("role",))
        with transaction.atomic():
            known = Member.objects.order_by().select_for_update().filter(pk=self.pk) if changing else Member.objects.none()
            former = known.values_list("role", flat=True).first()
            super().save(*args, **kwargs)
            if former is not None and former != self.role:
                Withdrawn.note(self.pk, former)
                Withdrawn.objects.filter(member=self.pk, role=self.role).delete()

    @property
    def public_id(self) -> str:
        """The member id on the wire."""
        return f"m{self.pk}"


class Withdrawn(models.Model):
    """A role that a member has no more, or had until it was deleted, for as long as a ticket may speak of it."""

    KEPT = timedelta(days=1, seconds=settings.REALTIME.resume_ttl_s)
    """A day more than the last ticket lives: for clocks that differ, and for a worker that was cut off from the database."""

    member = models.BigIntegerField()
    role = models.CharField(max_length=16)
    at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["member", "role"], name="withdrawn_once")]

    def __str__(self) -> str:
        return f"m{self.member}, {self.role}"

    @classmethod
    def note(cls, member: int, role: str) -> None:
        """From now on no ticket for this is good. What no ticket can speak of any more is forgotten."""
        now = SystemClock().now()
        cls.objects.filter(at__lt=now - cls.KEPT).delete()
        cls.objects.update_or_create(member=member, role=role, defaults={"at": now})

    @classmethod
    def standing(cls, now: datetime) -> models.QuerySet[Withdrawn]:
        """Those that a ticket may still speak of."""
        return cls.objects.filter(at__gte=now - cls.KEPT)


@receiver(post_delete, sender=Member)
def _deleted(instance: Member, **kwargs: Any) -> None:
    """With its wedding or in bulk, too: Django says so of each. What the database deletes itself nobody hears of."""
    Withdrawn.note(instance.pk, instance.role)


class RunSheetItem(models.Model):
    """One line of the run sheet. Changed only by commands, in the journal's transaction; each change raises `version`."""

    class Kind(models.TextChoices):
        ANCHOR = "anchor", "Anchor: does not move"
        FLEX = "flex", "Flexible"
        BUFFER = "buffer", "Buffer: absorbs delay"
        CUE = "cue", "Cue: happens on a signal"

    class Status(models.TextChoices):
        PENDING = "pending"
        IN_PROGRESS = "in_progress"
        COMPLETED = "completed"
        DELAYED = "delayed"
        CANCELLED = "cancelled"

    class Visibility(models.TextChoices):
        EVERYONE = "everyone"
        CREW = "crew"
        PLANNERS = "planners", "Planners and couple"

    wedding = models.ForeignKey(Wedding, on_delete=models.CASCADE, related_name="items")
    title = models.CharField(max_length=160)
    start = models.DateTimeField()
    planned = models.DateTimeField(null=True, blank=True, editable=False, help_text="Its start before the day moved it.")
    minutes = models.PositiveIntegerField()
    where = models.CharField(max_length=160, blank=True)
    who = models.JSONField(default=list, blank=True, help_text="List of names or trades.")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.FLEX)
    depends_on = models.JSONField(default=list, blank=True, help_text="Ids of the items that must be over before.")
    notes = models.CharField(max_length=500, blank=True)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.PENDING)
    visibility = models.CharField(max_length=8, choices=Visibility.choices, default=Visibility.EVERYONE)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["start", "id"]

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        """Raises ValidationError when `who` is no list of names, `depends_on` no list of ids of this run sheet, or when
        not everybody could read its times."""
        if self.start is not None and not tellable(self.start):
            raise ValidationError({"start": NO_MOMENT})
        if self.start is not None and self.minutes is not None and not tellable(self.start, self.minutes):
            raise ValidationError({"minutes": NO_MOMENT})
        if not isinstance(self.who, list) or not all(isinstance(name, str) for name in self.who):
            raise ValidationError({"who": 'A list of names is needed, such as ["DJ", "florist"].'})
        if not isinstance(self.depends_on, list) or not all(type(n) is int for n in self.depends_on):
            raise ValidationError({"depends_on": "A list of item ids is needed, such as [4, 7]."})
        known = set(RunSheetItem.objects.filter(wedding=self.wedding_id, pk__in=self.depends_on).values_list("pk", flat=True))
        strange = sorted(set(self.depends_on) - known | ({self.pk} & set(self.depends_on)))
        if strange:
            raise ValidationError({"depends_on": f"Not other items of this run sheet: {strange}."})


class ApiToken(models.Model):
    """A program that may publish into a wedding over HTTP. Only the hash of the token is kept."""

    wedding = models.ForeignKey(Wedding, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def issue(cls, wedding: Wedding, name: str) -> str:
        """Make a token. It is returned once and cannot be read again."""
        return cls(wedding=wedding, name=name).save_new()

    def save_new(self) -> str:
        """Store this row with a fresh token, which is returned."""
        token = secrets.token_urlsafe(32)
        self.sha256 = self.digest(token)
        self.save()
        return token

    @classmethod
    def find(cls, slug: str, token: str) -> ApiToken | None:
        """The token's row, when it belongs to this wedding and is not revoked."""
        return cls.objects.filter(sha256=cls.digest(token), wedding__slug=slug, revoked_at=None).first()

    @staticmethod
    def digest(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()
