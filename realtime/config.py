"""Every setting of realtime, with its unit, default and reason. `settings.REALTIME` is one instance; tests make their own.

The environment variable of a field is `WEDSYNC_` and its name in capitals; docs/configuration.md lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_origin

import msgspec
from msgspec import Meta, Struct

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Origin = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9+.-]*://[^/\s]+$")]


class RealtimeConfig(Struct, frozen=True):
    """Raises ValueError from `from_env` when a value is outside its range, naming the variable."""

    # Where the domain lives: the module with `domain`, an object of `realtime.ports.Domain`.
    domain: str = "wedsync.weddings.domain"
    # The module whose `run(services)` is the control loop of a server that is alone; "" where a process of its own does that.
    control: str = "monitoring.control"
    # The place of this process in its fleet, the same after a restart.
    slot: str = "w1"
    # Publications of a room kept in memory for replays: a phone back from a minute in the cellar needs no database.
    window_entries: Count = 256
    # The same in bytes, whichever is reached first: 217 weddings take at most 57 MB.
    window_bytes: Count = 262_144
    # Beyond this a replay costs more than the snapshot, which reaches as far back (state is bounded, history is not) and is
    # read and encoded once for many. About six hours of a busy wedding; beyond `window_bytes` it does so, too.
    replay_max_entries: Count = 500
    # What may wait for a guest or display that does not read, before it is sent away to come back and resume.
    # One in twenty of 2,000 that do so may hold 6 MB together; what they miss is in the journal.
    guest_outbox_bytes: Count = 65_536
    # The same for the crew, whose phones hold the day together: three hundred cues.
    outbox_bytes: Count = 262_144
    # A member that is behind and has taken nothing for so long is sent away to come back and resume: a few round trips of the
    # worst link, and long before a heartbeat would notice.
    stuck_after_s: Positive = 10.0
    # Whether to agree on compression with clients that offer it (RFC 7692): a phone's link carries less than half.
    compression: bool = True
    # A text of fewer bytes is sent as it is: it would hardly get smaller, and a frame costs about 10 us to compress.
    compress_over_bytes: Count = 256
    # Each connection is measured and planned again about so often, a few of them at a time.
    plan_every_s: Positive = 10.0
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
    # Parcels that wait for the channel layer; beyond it they are dropped and the others find them in the journal.
    mailbox_queue_max: Count = 10_000
    # A call of the channel layer that takes longer counts as failed; the journal is asked instead.
    mailbox_timeout_s: Positive = 1.0
    # Somebody who drops and returns within this was never away in the eyes of the others.
    presence_grace_s: Positive = 5.0
    # How often processes tell each other who is connected to them; believed for two and a half times as long.
    presence_refresh_s: Positive = 10.0
    # Told to the client in `welcome`: something arrives at least this often. The common value of realtime servers.
    heartbeat_s: Positive = 25.0
    # The same for planner and couple, who must know within seconds that they are cut off.
    planner_heartbeat_s: Positive = 2.0
    # How long a ticket of `manage.py tickets` is good unless told otherwise.
    ticket_ttl_s: Count = 30
    # A ticket is good for so much longer: the clocks of two machines may be minutes apart before anybody notices, and a guest
    # must not be sent away for that. Single-use ones stay single-use.
    clock_leeway_s: Annotated[float, Meta(ge=0)] = 300.0
    # How long a member may come back without session or database.
    resume_ttl_s: Count = 900
    # Messages a second that a guest or display may send in the long run; ten at once.
    guest_rate_per_s: Positive = 1.0
    # The same for a vendor or the couple; twenty at once.
    crew_rate_per_s: Positive = 5.0
    # The same for a planner; sixty at once.
    planner_rate_per_s: Positive = 20.0
    # What a guest or display may send in one message.
    guest_message_bytes: Count = 4_096
    # What a vendor or the couple may send in one message.
    crew_message_bytes: Count = 16_384
    # What a planner or a program may send in one message.
    planner_message_bytes: Count = 65_536
    # host:port at which HAProxy reaches this worker; empty behind the dispatcher of its machine.
    address: str = ""
    # The admin socket of the HAProxy in front of the workers: the control loop adds, drains and removes them there. Empty: it
    # is the dispatcher of this machine.
    haproxy_socket: str = ""
    # The map of moved weddings, by the name that HAProxy's configuration has for it.
    haproxy_homes: str = "/etc/haproxy/homes.map"
    # People one worker carries: `drill calibrate` measures it; until then a careful guess of ops.md 2.4.
    capacity_connections: Count = 2_000
    # Deliveries a second of one worker with p99 under 50 ms; the same source.
    capacity_deliveries_per_s: Positive = 4_000.0
    # Authenticated joins a second of one worker; a join costs well under 1 ms here.
    capacity_joins_per_s: Positive = 1_500.0
    # Memory one worker may use: 17 KB a connection for 14,000 of them, and as much again for what is queued, in 1 GiB.
    capacity_rss_bytes: Count = 1_073_741_824
    # The scaler never wants fewer workers.
    workers_least: Count = 1
    # The scaler never wants more workers: those of a machine share its cores.
    workers_most: Count = 2
    # Extra exact origins (scheme://host:port, comma separated) that may use the session; the page's own is always allowed.
    origins: tuple[Origin, ...] = ()
    # Entries older than this may be pruned by `manage.py prune_journal`.
    retention_days: Count = 90
    # Members one worker lets in a second; the others are told when to come back. What was measured of one core, until
    # `manage.py drill calibrate` has said better.
    admission_per_s: Positive = 1_500.0
    # WebSockets one address may open a second at a `manage.py serve`. Loose: a venue is one address (ops.md 6.2). 0: no limit,
    # for a fleet behind a proxy, where all come from one. Loopback has none.
    address_per_s: Annotated[float, Meta(ge=0)] = 200.0
    # How many of them at once: three venues of 165 phones behind one provider's address come back together.
    address_burst: Count = 500
    # How long a day with weddings is, hours: the windows in which its error budget burns are shares of it (ops.md 4.4).
    day_h: Positive = 16.0
    # START BEGAN RATE: the calendar is read as if it had been START at the moment BEGAN and went RATE times as fast: the
    # rehearsal of a day (`manage.py drill scale`). Empty: it is now. Never in production.
    rehearsal: str = ""
    # `bench.tick` and the role `load` exist, loopback is exempt from limits per address. Never in production.
    load_testing: bool = False

    @classmethod
    def from_env(cls, env: Mapping[str, str], **defaults: object) -> RealtimeConfig:
        """Defaults, overridden by the environment. Raises ValueError naming the variable that is wrong."""
        return cls(**defaults | given(cls, env, lambda field: f"WEDSYNC_{field.upper()}"))  # type: ignore[arg-type]


def given(cls: type[Struct], env: Mapping[str, str], variable: Callable[[str], str]) -> dict[str, object]:
    """{field of `cls`: value} for those whose `variable` stands in `env`. Raises ValueError naming one that cannot be right."""
    fields = {variable(field.name): field for field in msgspec.structs.fields(cls)}
    return {field.name: _value(name, env[name], field.type) for name, field in fields.items() if name in env}


def _value(name: str, text: str, kind: Any) -> object:
    raw = tuple(part.strip() for part in text.split(",") if part.strip()) if get_origin(kind) is tuple else text
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"{name}={text!r}: {'expected 1 or 0' if kind is bool else error}") from None
