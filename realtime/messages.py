"""Every message on the wire, in both directions, as frozen tagged structs. docs/protocol.md shows a sample of each.

Input forbids unknown fields and is bounded in size before it is decoded. Output grows only by new fields with defaults. Three
roles: a request carries an `id` or `ref`, its reply the same value as `ref`, a publication an offset (durable kinds only).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from realtime.kinds import Receipt

ID_MAX = 64
Id = Annotated[str, Meta(min_length=1, max_length=ID_MAX, pattern=r"^[!-~]+$")]
good_id = re.compile(f"[!-~]{{1,{ID_MAX}}}").fullmatch
"""What `Id` allows: to convert to it takes five times as long, for each publication."""

PROTOCOL = "wedsync.v1"
"""The subprotocol a client offers and the server selects."""


class Sender(Struct, frozen=True, omit_defaults=True):
    """Who published: a member id that is stable over reconnects, the role and the name to show."""

    member: str
    role: str
    name: str = ""


# -- to the server ----------------------------------------------------------------------------------------------------


class ToServer(Struct, frozen=True, tag_field="t", tag=str.lower, forbid_unknown_fields=True):
    """Base of what a client may send."""


class Publish(ToServer, frozen=True):
    """Say something. `id` is made by the client: the same id of the same member twice is one entry."""

    id: Id
    kind: str
    data: Raw
    expires_at: datetime | None = None
    replaces: Id | None = None


class Ack(ToServer, frozen=True):
    """Everything up to `offset` has been shown."""

    offset: Annotated[int, Meta(ge=0)]


class Ping(ToServer, frozen=True):
    """Are you there? Answered with a pong that carries the same `ref`."""

    ref: Annotated[int, Meta(ge=0)] = 0


class Leave(ToServer, frozen=True):
    """I go on purpose: presence changes now and not after the grace time."""


class Hint(ToServer, frozen=True):
    """What the client knows of its own side, whenever it changes; the server plans the connection with it.

    `effective`: the browser's Network Information effective type. `gaps`: gaps, doubles and order faults since the last hint.
    """

    visible: bool = True
    save_data: bool = False
    effective: Literal["slow-2g", "2g", "3g", "4g"] = "4g"
    gaps: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


# -- to the client ----------------------------------------------------------------------------------------------------


class ToClient(Struct, frozen=True, tag_field="t", tag=str.lower, omit_defaults=True):
    """Base of what the server sends."""


class Welcome(ToClient, frozen=True):
    """First message after the upgrade.

    `recovered` true: what was missed follows as publications; false: a snapshot follows. Both end with `Live`. `resume` is a
    ticket for the next connection of this member. `heartbeat_s`: something arrives at least this often, if only a pong.
    """

    room: str
    member: Sender
    epoch: str
    recovered: bool
    resume: str
    heartbeat_s: float
    process: str
    return_ms: int = 0
    """When this connection just ends, come back at a moment chosen at random within this."""


class Snapshot(ToClient, frozen=True):
    """The state this member may see at `offset`: run sheet items, the newest publication for each key, the latest others."""

    offset: int
    items: list[dict[str, object]]
    latest: list[Raw]
    recent: list[Raw]


class Live(ToClient, frozen=True):
    """The replay or snapshot is complete: the client's position is `up_to`, and the next publication has it as `prev`."""

    up_to: int
    present: list[Sender] = []
    receipts: list[Receipt] = []


class Pub(ToClient, frozen=True):
    """A publication as clients decode it; the server writes it with `realtime.frame.Frame`, once for many members.

    `ack`: acknowledge this one soon, others now and then.
    """

    kind: str
    id: str
    sender: Sender = msgspec.field(name="from")
    at: datetime
    data: Raw
    result: Raw | UnsetType = UNSET
    offset: int = 0
    prev: int = 0
    provisional: bool = False
    expires_at: datetime | None = None
    replaces: str = ""
    ack: bool = False


class Ok(ToClient, frozen=True):
    """The publication is stored at `offset` (durable), or was handed on (ephemeral, no offset).

    `provisional`: it left without the journal; the offset follows in an `Ok` of its own, keep it until then.
    """

    ref: str
    offset: int = 0
    duplicate: bool = False
    provisional: bool = False


class Error(ToClient, frozen=True):
    """The request `ref` was refused and changed nothing; `code` is for machines, `message` for people."""

    code: str
    message: str
    ref: str = ""
    field: str = ""
    retry_after_ms: int = 0


class Plan(ToClient, frozen=True):
    """How this connection is served from now on, and why. `batch_ms`: what is not urgent may wait so long for company;
    `left_out`: ephemeral kinds that are not sent."""

    heartbeat_s: float
    batch_ms: int = 0
    left_out: list[str] = []
    encoding: str = "plain"
    reason: str = ""


class Pong(ToClient, frozen=True):
    """Answer to a ping, with the time here. Unasked it only brings `resume`, a fresh ticket in the place of the last one."""

    ref: int = 0
    resume: str = ""
    at: datetime | None = None


class Move(ToClient, frozen=True):
    """Come back elsewhere without a gap: open a second connection and resume, and close this one when that is live.

    `url`: where to, "" for the same address, where another process answers. This one is closed with `MOVED` after `within_ms`.
    `resume`: a fresh ticket for it.
    """

    reason: str
    within_ms: int
    url: str = ""
    resume: str = ""


class Goodbye(ToClient, frozen=True):
    """The server closes next, with this code. `retry_after_ms`: when to come back."""

    code: int
    reason: str
    retry_after_ms: int = 0


decode_to_server = msgspec.json.Decoder(Publish | Ack | Ping | Leave | Hint).decode
decode_to_client = msgspec.json.Decoder(Welcome | Snapshot | Live | Pub | Ok | Error | Pong | Goodbye | Move | Plan).decode
encode = msgspec.json.Encoder().encode
