"""Every setting of realtime, with its unit, default and reason. `settings.REALTIME` is one instance; tests make their own.

The environment variable of a field is `WEDSYNC_` and its name in capitals; docs/configuration.md lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class RealtimeConfig(Struct, frozen=True):
    """Raises ValueError from `from_env` when a value is outside its range, naming the variable."""

    # Where the domain lives: the module with `domain`, an object of `realtime.ports.Domain`.
    domain: str = "wedsync.weddings.domain"
    # Publications of a room kept in memory for replays: a phone back from a minute in the cellar needs no database.
    window_entries: Count = 256
    window_bytes: Count = 262_144
    # Beyond this a replay costs more than the snapshot (state is bounded, history is not).
    replay_max_entries: Count = 5_000
    # Publications per commit: the thread must not keep the loop waiting; 256 rows take about 15 ms on SQLite.
    commit_max_entries: Count = 256
    # Publications that may wait for the writer; beyond it publishers hear `journal_unavailable` instead of waiting for ever.
    commit_queue_max: Count = 10_000
    # A P0 that has not been committed for so long leaves provisionally. Far above a normal commit, far below a heartbeat.
    provisional_after_s: Positive = 0.25
    # The loss of the last publication reveals itself to nobody; this question does. One query for all rooms held.
    reconcile_s: Positive = 1.0
    # How long a hub waits for the mailbox to bring a missing offset before it reads the journal.
    gap_grace_s: Positive = 0.02
    # Messages to other processes are joined for so long; 0 sends as soon as the sender is free, which joins under load.
    mailbox_queue_max: Count = 10_000
    mailbox_timeout_s: Positive = 1.0
    # Somebody who drops and returns within this was never away in the eyes of the others.
    presence_grace_s: Positive = 5.0
    presence_refresh_s: Positive = 10.0
    # Told to the client in `welcome`; it asks when nothing arrived for so long. features.md row 10: 25 s is the common value.
    heartbeat_s: Positive = 25.0
    planner_heartbeat_s: Positive = 2.0
    # Tickets and resume tokens (ops.md 6.2).
    ticket_ttl_s: Count = 30
    resume_ttl_s: Count = 900
    # Everything a client of this role may send in one message (ops.md 6.2), bytes.
    guest_message_bytes: Count = 4_096
    crew_message_bytes: Count = 16_384
    planner_message_bytes: Count = 65_536
    # Extra exact origins (scheme://host:port, comma separated) that may use the session; the page's own is always allowed.
    origins: tuple[str, ...] = ()
    # Entries older than this may be pruned by `manage.py prune_journal`.
    retention_days: Count = 90
    # `bench.tick` and the role `load` exist, loopback is exempt from limits per address. Never in production.
    load_testing: bool = False

    @classmethod
    def from_env(cls, env: Mapping[str, str], **defaults: object) -> RealtimeConfig:
        """Defaults, overridden by the environment. Raises ValueError naming the variable that is wrong."""
        values: dict[str, object] = dict(defaults)
        for field in msgspec.structs.fields(cls):
            name = f"WEDSYNC_{field.name.upper()}"
            if name not in env:
                continue
            raw: object = env[name]
            if field.name == "origins":
                raw = tuple(part.strip() for part in env[name].split(",") if part.strip())
            try:
                values[field.name] = msgspec.convert(raw, field.type, strict=False)
            except msgspec.ValidationError as error:
                raise ValueError(f"{name}={env[name]!r}: {error}") from None
        return cls(**values)  # type: ignore[arg-type]
