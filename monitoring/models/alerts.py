"""Rules, alerts, silences, who is told and what was sent; incidents and their time line."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, validate_email
from django.db import models

from monitoring.alerts import SEVERITIES, Labels, Mute, Rule, clear_at
from monitoring.signals import SIGNALS
from realtime.addresses import is_address
from wedsync.weddings.models import NO_TEXT, Wedding

SILENCE_MAX = timedelta(days=7)
PAGE_SILENCE_MAX = timedelta(hours=2)
"""Of a rule that pages, or of all rules: a silence that outlives the evening hides the next one (ops.md 4.5)."""
RESULT_CHARS = 500
TARGET_CHARS = 500


def new_secret() -> str:
    """The key of a webhook's signatures, 256 bits."""
    return secrets.token_urlsafe(32)


def new_key() -> str:
    """What makes a notice the same notice when it is sent again."""
    return secrets.token_hex(16)


def signal_choices() -> list[tuple[str, str]]:
    """What a rule can watch; called late, so that a new signal needs no migration."""
    return [(signal.name, f"{signal.name} ({signal.unit})") for signal in SIGNALS.values()]


def as_labels(labels: dict[str, str]) -> Labels:
    """The subject as the rules of `monitoring.alerts` want it."""
    return tuple(sorted((str(name), str(value)) for name, value in labels.items()))


def validate_labels(labels: object) -> None:
    """Raises ValidationError unless it is an object of texts that can be shown."""
    parts = [part for pair in labels.items() for part in pair] if isinstance(labels, dict) else [None]
    if not all(isinstance(part, str) and not NO_TEXT.search(part) for part in parts):
        raise ValidationError('An object of texts is needed, such as {"worker": "w2"}; {} is everything.')


def hiding_ring(name: str, hidden_by: Mapping[str, Sequence[str]]) -> list[str]:
    """The way from a rule over what hides it back to itself, [] for none. `hidden_by`: {rule: its causes}."""
    ways, seen = [[name]], set[str]()
    while ways:
        way = ways.pop()
        for cause in hidden_by.get(way[-1], ()):
            if cause == name:
                return [*way, name]
            if cause not in seen:
                seen.add(cause)
                ways.append([*way, cause])
    return []


class SeverityChoice(models.TextChoices):
    PAGE = "page", "Page: somebody gets up"
    TICKET = "ticket", "Ticket: somebody looks today"
    INFO = "info", "Info: it is only shown"


TEST_PAGE = "page-me"
"""The rule of a test page; it is in no table."""
ASKED = " asked for it"
"""The reason of a test page, after who did."""


class AlertRule(models.Model):
    """When somebody is told, and what they should do."""

    class Direction(models.TextChoices):
        ABOVE = "above"
        BELOW = "below"

    name = models.SlugField(max_length=60, unique=True)
    title = models.CharField(max_length=120, help_text="What is wrong when it fires, as a sentence.")
    signal = models.CharField(max_length=40, choices=signal_choices)
    direction = models.CharField(max_length=5, choices=Direction.choices, default=Direction.ABOVE)
    raise_at = models.FloatField("threshold", help_text="In the unit of the signal.")
    clear_at = models.FloatField("over at", null=True, blank=True, help_text="Empty: 0.8 of the threshold (1.25 when below).")
    for_s = models.FloatField(
        "for, seconds", default=0, validators=[MinValueValidator(0)], help_text="So long before it fires."
    )
    keep_s = models.FloatField(
        "hold, seconds", default=60, validators=[MinValueValidator(0)], help_text="So long it must be over to be over."
    )
    no_data_s = models.FloatField(
        "no data, seconds",
        default=0,
        validators=[MinValueValidator(0)],
        help_text="Told after so long without a reading; 0: only if it was told as firing.",
    )
    severity = models.CharField(max_length=6, choices=SeverityChoice.choices, default=SeverityChoice.TICKET)
    hidden_by = models.CharField(
        max_length=200,
        blank=True,
        help_text="Names of rules that explain this one, separated by spaces: it is not told while one is raised.",
    )
    what_to_do = models.TextField(help_text="For whoever is woken by it.")
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raises ValidationError for an end beyond the beginning, causes that are no rules, and rules that hide each other. A
        cause that was a rule when this one was saved last keeps nobody from changing something else."""
        above = self.direction == self.Direction.ABOVE
        if self.name == TEST_PAGE:
            raise ValidationError({"name": "So test pages are called."})
        if self.raise_at is None:
            return  # the field says so itself
        if self.clear_at is not None and (self.clear_at > self.raise_at if above else self.clear_at < self.raise_at):
            raise ValidationError({"clear_at": "It must be over on the quiet side of the threshold."})
        rules = {rule.pk: rule for rule in AlertRule.objects.all()}
        before = rules.pop(self.pk, None)
        others = {rule.name: rule.hidden_by.split() for rule in rules.values()}
        strange = set(self.hidden_by.split()) - set(others) - set(before.hidden_by.split() if before else ())
        if strange:
            raise ValidationError({"hidden_by": f"Not names of other rules: {', '.join(sorted(strange))}."})
        if ring := hiding_ring(self.name, others | {self.name: self.hidden_by.split()}):
            raise ValidationError(f"None of these would be told: {', hidden by '.join(ring)}.")

    @property
    def as_rule(self) -> Rule:
        """The values that decide."""
        above = self.direction == self.Direction.ABOVE
        return Rule(
            self.name,
            self.signal,
            self.raise_at,
            clear_at(self.raise_at, above=above) if self.clear_at is None else self.clear_at,
            above=above,
            for_s=self.for_s,
            keep_s=self.keep_s,
            no_data_s=self.no_data_s,
            severity=next(s for s in SEVERITIES if s == self.severity),
            hidden_by=tuple(self.hidden_by.split()),
        )


class Incident(models.Model):
    """From the first page to the last sentence about it: alerts, decisions, drains, deploys and notes on one time line."""

    title = models.CharField(max_length=200)
    started_at = models.DateTimeField(help_text="The first reading that was beyond a threshold.")
    detected_at = models.DateTimeField(help_text="The first page.")
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)
    mitigated_at = models.DateTimeField(null=True, blank=True, help_text="The last page of it was over.")
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.CharField(max_length=150, blank=True)
    summary = models.TextField(blank=True, help_text="What it was, and what will keep it from coming back.")

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"Incident {self.pk}: {self.title}"

    @property
    def state(self) -> str:
        """open, mitigated or closed."""
        return "closed" if self.closed_at else "mitigated" if self.mitigated_at else "open"


class Alert(models.Model):
    """One alert that was told, from its beginning to its end."""

    fingerprint = models.CharField(max_length=16, db_index=True)
    rule = models.CharField(max_length=60)
    labels = models.JSONField(default=dict, blank=True)
    severity = models.CharField(max_length=6, choices=SeverityChoice.choices)
    state = models.CharField(max_length=10, help_text="firing, resolving, no_data; ok when it is over.")
    told = models.CharField(max_length=8, help_text="firing, flapping or no_data: what receivers heard last.")
    muted = models.CharField(max_length=200, blank=True)
    raised_at = models.DateTimeField(help_text="The first reading beyond the threshold.")
    fired_at = models.DateTimeField(help_text="When it was told.")
    resolved_at = models.DateTimeField(null=True, blank=True)
    value = models.FloatField(null=True)
    worst = models.FloatField(null=True)
    reason = models.CharField(max_length=RESULT_CHARS)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)
    reminders = models.PositiveSmallIntegerField(default=0, help_text="How often it was told again since nobody acknowledged.")
    incident = models.ForeignKey(Incident, on_delete=models.SET_NULL, null=True, blank=True, related_name="alerts")
    kept = models.JSONField(default=dict, help_text="What the next holder of the control lease needs to go on with it.")

    class Meta:
        ordering = ["-fired_at"]
        permissions = [("acknowledge_alert", "Can acknowledge alerts")]
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint"], condition=models.Q(resolved_at=None), name="alert_open_once_per_fingerprint"
            )
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.subject}".strip()

    def about(self, rules: Mapping[str, AlertRule]) -> AlertRule | None:
        """Its rule, of these by name, or that of a test page; None: it is gone."""
        if self.rule != TEST_PAGE:
            return rules.get(self.rule)
        title = f"A test by {self.reason.removesuffix(ASKED)}: please acknowledge"
        what_to_do = "Acknowledge it in the admin, under Alerts: that shows that a page reaches you."
        return AlertRule(name=TEST_PAGE, title=title, what_to_do=what_to_do)

    @property
    def subject(self) -> str:
        """What it is about: "worker w2"; "" is the whole fleet."""
        return ", ".join(f"{name} {value}" for name, value in sorted(self.labels.items()))


class IncidentEvent(models.Model):
    """One line of an incident's time line."""

    class Kind(models.TextChoices):
        ALERT = "alert"
        ACKNOWLEDGED = "ack", "Acknowledged"
        DECISION = "decision", "Scaler decision"
        DRAIN = "drain"
        DEPLOY = "deploy"
        WORKER = "worker"
        NOTICE = "notice", "Delivery of a notice"
        NOTE = "note"

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=8, choices=Kind.choices)
    text = models.TextField()
    author = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["at", "pk"]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.text}"


class Silence(models.Model):
    """Alerts that are known and not told for a while. Alertmanager has its own beside these."""

    rule = models.CharField(max_length=60, blank=True, help_text="Name of a rule; empty: any.")
    labels = models.JSONField(
        default=dict, blank=True, validators=[validate_labels], help_text='Such as {"worker": "w2"}; {}: any.'
    )
    author = models.CharField(max_length=150, editable=False)
    reason = models.CharField(max_length=160)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    class Meta:
        ordering = ["-starts_at"]

    def __str__(self) -> str:
        return f"{self.rule or 'all rules'} until {self.ends_at:%d %b %H:%M}: {self.reason}"

    def clean(self) -> None:
        """Raises ValidationError for an unknown rule, and for an end before the beginning or too far after it. Whatever is
        empty as labels is {}: what a field leaves out as blank is checked by nobody else."""
        self.labels = self.labels or {}
        if not self.starts_at or not self.ends_at:
            return  # the fields say so themselves
        if self.ends_at <= self.starts_at:
            raise ValidationError({"ends_at": "It must end after it starts."})
        rule = AlertRule.objects.filter(name=self.rule).first()
        if self.rule and rule is None:
            raise ValidationError({"rule": "There is no rule of this name."})
        pages = rule is None or rule.severity == SeverityChoice.PAGE
        longest = PAGE_SILENCE_MAX if pages else SILENCE_MAX
        if self.ends_at - self.starts_at > longest:
            hours = longest.total_seconds() / 3_600
            raise ValidationError({"ends_at": f"At most {hours:.0f} hours{' for what pages' if pages else ''}."})

    @property
    def as_mute(self) -> Mute:
        return Mute(self.rule, as_labels(self.labels), f"silenced by {self.author}: {self.reason}"[:200])


class Receiver(models.Model):
    """Somebody, or some program, that is told."""

    class Kind(models.TextChoices):
        EMAIL = "email", "E-mail"
        WEBHOOK = "webhook", "Webhook, signed"
        ALERTMANAGER = "alertmanager", "Alertmanager, API v2"

    name = models.SlugField(max_length=60, unique=True)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    target = models.CharField(
        max_length=TARGET_CHARS, help_text="Addresses separated by commas, or the URL (Alertmanager: http://host:9093)."
    )
    secret = models.CharField(max_length=80, default=new_secret, blank=True, help_text="Key of a webhook's signatures.")
    wedding = models.SlugField(max_length=80, blank=True, help_text="Only what is about this wedding; empty: everything.")
    at_least = models.CharField(max_length=6, choices=SeverityChoice.choices, default=SeverityChoice.PAGE)
    enabled = models.BooleanField(default=True)
    last_ok_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_result = models.CharField(max_length=RESULT_CHARS, blank=True, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raises ValidationError when the target is no list of addresses or no URL, and for a wedding that is not there. What
        was stored before is no reason to refuse something else: it can be switched off."""
        before = Receiver.objects.filter(pk=self.pk).first()
        if before is None or (before.kind, before.target) != (self.kind, self.target):
            self._check_target()
        changed = before is None or before.wedding != self.wedding
        if self.wedding and changed and not Wedding.objects.filter(slug=self.wedding).exists():
            raise ValidationError({"wedding": "There is no wedding with this slug."})

    def _check_target(self) -> None:
        if self.kind == self.Kind.EMAIL:
            try:
                for address in self.addresses or [""]:
                    validate_email(address)
            except ValidationError as error:
                raise ValidationError({"target": "E-mail addresses separated by commas are needed."}) from error
        elif not is_address(self.target, "http", "https") or "@" in urlsplit(self.target).netloc:
            raise ValidationError({"target": "A URL is needed, http:// or https://, without a login in it."})

    @property
    def addresses(self) -> list[str]:
        return [address.strip() for address in self.target.split(",") if address.strip()]

    def without(self, addresses: Collection[str]) -> Receiver:
        """The same with fewer addresses, not to be saved."""
        if not addresses:
            return self
        fewer = copy(self)
        fewer.target = ",".join(address for address in self.addresses if address not in addresses)
        return fewer

    def wants(self, labels: dict[str, str]) -> bool:
        """Whether an alert with these labels (its severity among them) is for it."""
        severity = labels["severity"]
        if self.wedding and labels.get("wedding") != self.wedding:
            return False
        return SEVERITIES.index(severity) >= SEVERITIES.index(self.at_least)


class Notice(models.Model):
    """The outbox: what one receiver is to be told, tried until it was, in order."""

    receiver = models.ForeignKey(Receiver, on_delete=models.CASCADE, related_name="notices")
    key = models.CharField(max_length=32, unique=True, default=new_key, editable=False)
    severity = models.CharField(max_length=6, choices=SeverityChoice.choices)
    content: models.JSONField[Any, Any] = models.JSONField(help_text="The alerts in it, see monitoring/notifiers.py.")
    created_at = models.DateTimeField()
    next_try_at = models.DateTimeField()
    tries = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    given_up_at = models.DateTimeField(null=True, blank=True)
    result = models.CharField(max_length=RESULT_CHARS, blank=True)
    reached = models.CharField(
        max_length=TARGET_CHARS,
        blank=True,
        default="",
        db_default="",  # while a deploy goes on, processes that do not know it write notices too
        help_text="Addresses that have it, separated by commas.",
    )

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["receiver", "id"], condition=models.Q(sent_at=None, given_up_at=None), name="notice_waiting")
        ]

    def __str__(self) -> str:
        return f"{self.receiver_id} {self.key}"
