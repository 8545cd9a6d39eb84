"""Weddings, the people in them and the run sheet of the day. Times are stored in UTC and shown in the venue's zone."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.signals import post_delete, pre_delete
from django.dispatch import receiver

from realtime.clock import SystemClock
from realtime.fence import PREFIX, fenced
from realtime.kinds import FIRST, LAST
from realtime.models import Room
from realtime.policy.windows import event_window
from realtime.roles import OPS, ROLES
from wedsync.weddings.tables import YEARS, is_zone, listed

Name = TypeVar("Name")
MEMBER_ROLES = [(name, name.capitalize()) for name in ROLES if name not in ("load", "staff")]
WINDOW_BEFORE = timedelta(hours=2)
WINDOW_AFTER = timedelta(hours=2)
AROUND = timedelta(days=14)
"""A wedding with all its days; an item beyond is a slip, and would hold deployments up until then."""
MINUTES_MAX = 2 * 24 * 60
"""Of one line of a run sheet."""
WHO_MAX = 500
"""Characters of the names in one line."""
NO_TEXT = re.compile(r"[\0\ud800-\udfff]")
"""What JSON can spell and nobody can be told: UTF-8 has no half of a pair, PostgreSQL and CSV no NUL."""
ITEMS_MAX = 1_000
"""Everybody's phone holds all of the run sheet; the longest that we have seen has 24 lines."""
EARLIEST, LATEST = FIRST + timedelta(days=1), LAST - timedelta(days=1)
"""What happens at a wedding is between these: its day begins hours before and ends hours after, in any time zone."""


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


def minutes_min(kind: str) -> int:
    """How short a line may be: of a buffer a delay may have left nothing."""
    return 0 if kind == "buffer" else 1


def waits_for_itself(item: Name, parents: Mapping[Name, Sequence[Name]]) -> bool:
    """Whether what `item` waits for waits for it, directly or through others."""
    waiting, seen = list(parents[item]), set()
    while waiting:
        parent = waiting.pop()
        if parent == item:
            return True
        if parent not in seen:
            seen.add(parent)
            waiting.extend(parents.get(parent, ()))
    return False


class Wedding(models.Model):
    """One wedding. Saving it opens its room, deleting it removes the room and what was said there."""

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
        """Raises ValidationError for a name that is kept for drills, where nothing would count, or for the operators' room, and
        for a year that is a slip of the hand."""
        if self.ceremony_at is not None and self.ceremony_at.year not in YEARS:
            raise ValidationError({"ceremony_at": f"A year from {YEARS[0]} to {YEARS[-1]} is needed."})
        if fenced(self.slug):
            raise ValidationError({"slug": f"Names that begin with {PREFIX} are kept for drills."})
        if self.slug == OPS:
            raise ValidationError({"slug": f"{OPS!r} is the operators' own room; please choose another name."})

    @property
    def zone(self) -> ZoneInfo:
        """The venue's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def window(self) -> tuple[datetime, datetime]:
        """(start, end) in venue time: while it lasts nothing is deployed or moved under its people. The usual day around the
        ceremony, and as much more as the run sheet has."""
        day = event_window(self.slug, self.ceremony_at, self.zone)
        start, end = (datetime.fromtimestamp(at_s, UTC) for at_s in (day.opens_s, day.closes_s))
        # What is farther off is a slip; a sheet with nothing on this day was left behind when the day was moved.
        near = [item for item in self.items.all() if abs(item.start - self.ceremony_at) <= AROUND]
        if not any(start <= item.start <= end for item in near):
            near = []
        start = min([start, *(item.start - WINDOW_BEFORE for item in near)])
        end = max([end, *(item.start + timedelta(minutes=item.minutes) + WINDOW_AFTER for item in near)])
        return start.astimezone(self.zone), end.astimezone(self.zone)


def start_faults(start: datetime, wedding: Wedding) -> list[str]:
    """Why a line of its run sheet cannot begin then, in sentences; an import refuses the same."""
    zone, faults = wedding.zone, []
    if start.second or start.microsecond:
        faults.append("Whole minutes are needed.")
    # By the year first: the ends of the calendar cannot be told in every zone.
    day = wedding.ceremony_at.astimezone(zone).date()
    if start.year not in YEARS or abs(start.astimezone(zone).date() - day) > AROUND:
        faults.append(f"This is not within {AROUND.days} days of the wedding on {day}.")
    return faults


@receiver(pre_delete, sender=Wedding)
def close_room(instance: Wedding, **_: Any) -> None:
    """With its journal: another wedding of that name begins with an empty one. First, as writers lock the room before items."""
    list(Room.objects.select_for_update().filter(name=instance.slug))  # nobody stores anything in between
    Room.objects.filter(name=instance.slug).delete()
    Withdrawn.note(instance.members.order_by().values_list("pk", "role"))


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
                Withdrawn.note([(self.pk, former)])
                Withdrawn.objects.filter(member=self.pk, role=self.role).delete()

    @property
    def public_id(self) -> str:
        """The member id on the wire."""
        return f"m{self.pk}"


class Withdrawn(models.Model):
    """A role that a member has no more, or had until it was deleted, for as long as a ticket may speak of it; in place of a
    role also a login that is over, or a password by the name of it in logins, and then of no member."""

    NOBODY = 0
    """In place of the member, of a login."""

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
    def note(cls, gone: Iterable[tuple[int, str]]) -> None:
        """From now on no ticket for these is good: (primary key of the member, role). What no ticket can speak of any more is
        forgotten. Three statements, however many they are."""
        now = SystemClock().now()
        cls.objects.filter(at__lt=now - cls.KEPT).delete()
        rows = [Withdrawn(member=member, role=role, at=now) for member, role in gone]
        Withdrawn.objects.bulk_create(rows, update_conflicts=True, unique_fields=["member", "role"], update_fields=["at"])

    @classmethod
    def standing(cls, now: datetime) -> models.QuerySet[Withdrawn]:
        """Those that a ticket may still speak of; not of a member that has this role again, or was restored from a backup."""
        again = Member.objects.order_by().filter(pk=models.OuterRef("member"), role=models.OuterRef("role"))
        return cls.objects.filter(~models.Exists(again), at__gte=now - cls.KEPT)


@receiver(post_delete, sender=Member)
def _deleted(instance: Member, origin: Any = None, **_: Any) -> None:
    """In bulk, too: Django says so of each. Of those that go with their wedding it was noted there. What the database deletes
    itself nobody hears of."""
    if getattr(origin, "model", type(origin)) is not Wedding:
        Withdrawn.note([(instance.pk, instance.role)])


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
        """Raises ValidationError for what an import would refuse: every run sheet can be exported and comes back."""
        self.who, self.depends_on = ([] if value is None else value for value in (self.who, self.depends_on))
        if not isinstance(self.who, list) or not all(isinstance(name, str) for name in self.who):
            raise ValidationError({"who": 'A list of names is needed, such as ["DJ", "florist"].'})
        written = "; ".join(self.who)
        if tuple(self.who) != listed(written) or len(written) > WHO_MAX or NO_TEXT.search(written):
            raise ValidationError({"who": f"Names without ';' or half an emoji, each once, {WHO_MAX} characters together."})
        if not isinstance(self.depends_on, list) or not all(type(n) is int for n in self.depends_on):
            raise ValidationError({"depends_on": "A list of item ids is needed, such as [4, 7]."})
        self.depends_on = list(dict.fromkeys(self.depends_on))
        if self.minutes is not None and not minutes_min(self.kind) <= self.minutes <= MINUTES_MAX:
            raise ValidationError({"minutes": f"From {minutes_min(self.kind)} to {MINUTES_MAX:,} minutes."})
        if self.wedding_id is not None:
            self._check_start()
            self._check_sheet()

    def _check_start(self) -> None:
        """Where it is new: one that was left behind when the wedding was moved keeps nobody from changing something else."""
        stays = self.pk is not None and RunSheetItem.objects.filter(pk=self.pk, start=self.start).exists()
        if self.start is not None and not stays and (wrong := start_faults(self.start, self.wedding)):
            raise ValidationError({"start": wrong})

    def _check_sheet(self) -> None:
        """That it and what it waits for can be told by their titles, and that nothing waits for itself."""
        sheet = {item.pk: item for item in RunSheetItem.objects.filter(wedding=self.wedding_id)}
        if self.pk is None and len(sheet) >= ITEMS_MAX:
            raise ValidationError(f"A run sheet has at most {ITEMS_MAX:,} items.")
        if strange := [n for n in self.depends_on if n not in sheet or n == self.pk]:
            raise ValidationError({"depends_on": f"Not other items of this run sheet: {strange[:5]}."})
        sheet[self.pk] = self
        titles = Counter(item.title for item in sheet.values())
        waited_for = {sheet[n].title for item in sheet.values() for n in item.depends_on if n in sheet}
        for field, title in (("title", self.title), *(("depends_on", sheet[n].title) for n in self.depends_on)):
            if title in waited_for and (titles[title] > 1 or ";" in title):
                why = "contains ';'" if ";" in title else "is the title of several items"
                raise ValidationError({field: f"{title!r} {why}, and an item waits for it: it needs a title of its own."})
        if waits_for_itself(self.pk, {n: item.depends_on for n, item in sheet.items()}):
            raise ValidationError({"depends_on": "It would wait for itself, through what it waits for."})


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
