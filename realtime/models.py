"""The journal's tables. What the fields promise is written in `realtime/journal.py`, the only module that writes them."""

from __future__ import annotations

import uuid

from django.db import models


def new_epoch() -> str:
    return uuid.uuid4().hex


class Room(models.Model):
    """One wedding's stream: where its journal stands. Locked by every writer for the length of its transaction."""

    name = models.SlugField(max_length=80, unique=True)
    epoch = models.CharField(max_length=32, default=new_epoch, help_text="Changes when the journal is replaced.")
    last_offset = models.BigIntegerField(default=0)
    heads = models.JSONField(default=dict, help_text="Last offset per audience: {audience number as text: offset}.")
    floor = models.BigIntegerField(default=0, help_text="Entries up to this offset may have been pruned.")

    def __str__(self) -> str:
        return self.name


class JournalEntry(models.Model):
    """One durable publication. `data` and `result` are the JSON text as it goes over the wire."""

    id = models.BigAutoField(primary_key=True)
    room = models.ForeignKey(Room, on_delete=models.CASCADE, related_name="entries")
    offset = models.BigIntegerField()
    kind = models.CharField(max_length=40)
    audience = models.PositiveSmallIntegerField(help_text="Roles that may see it, as a bit mask (realtime.roles).")
    key = models.CharField(max_length=120, blank=True, help_text="What it is about; the newest per key is current state.")
    publication_id = models.CharField(max_length=80)
    member = models.CharField(max_length=80)
    role = models.CharField(max_length=16)
    name = models.CharField(max_length=120, blank=True)
    client_id = models.CharField(max_length=64, null=True, help_text="Null for what a command publishes beside its own entry.")
    data = models.TextField()
    result = models.TextField(blank=True)
    at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    replaces = models.CharField(max_length=64, blank=True)
    replaced = models.BooleanField(default=False, help_text="A later entry replaces it: kept in the log, not replayed.")

    class Meta:
        verbose_name_plural = "journal entries"
        constraints = [
            models.UniqueConstraint(fields=["room", "offset"], name="journal_offset_once"),
            models.UniqueConstraint(fields=["room", "member", "client_id"], name="journal_publish_once"),
        ]
        indexes = [models.Index(fields=["room", "kind", "key", "offset"], name="journal_state")]

    def __str__(self) -> str:
        return f"{self.room_id}/{self.offset} {self.kind}"


class OutboxEntry(models.Model):
    """A publication of a transaction that may not have committed yet: the writer gives it an offset afterwards."""

    id = models.BigAutoField(primary_key=True)
    room = models.ForeignKey(Room, on_delete=models.CASCADE)
    kind = models.CharField(max_length=40)
    publication_id = models.CharField(max_length=64)
    member = models.CharField(max_length=80)
    role = models.CharField(max_length=16)
    name = models.CharField(max_length=120, blank=True)
    data = models.TextField()
    at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    replaces = models.CharField(max_length=64, blank=True)
    failed = models.CharField(max_length=500, blank=True, help_text="Why the writer could not publish it; not tried again.")

    class Meta:
        verbose_name_plural = "outbox entries"
        constraints = [
            models.UniqueConstraint(fields=["room", "member", "publication_id"], name="outbox_publish_once"),
        ]

    def __str__(self) -> str:
        return f"outbox {self.pk} {self.kind}"
