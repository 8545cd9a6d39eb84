"""Checks a publication before anything is done with it: who says it, whether they may, and its shape."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

from realtime.access import may_publish
from realtime.config import RealtimeConfig
from realtime.errors import Invalid
from realtime.kinds import FIRST, LAST, decode_data
from realtime.messages import Id, Sender, encode, good_id
from realtime.publication import Draft

Payload = Mapping[str, object] | Struct | bytes | msgspec.Raw

ENCODED = (bytes, msgspec.Raw)
SYSTEM = Sender("system", "system", "WedSync")
"""Who publishes when nobody is named: the application itself. It may publish every kind."""


def draft(
    config: RealtimeConfig,
    room: str,
    kind: str,
    data: Payload,
    *,
    sender: Sender = SYSTEM,
    id: str | None = None,
    expires_at: datetime | None = None,
    replaces: str | None = None,
    received_s: float | None = None,
) -> Draft:
    """A checked publication. Raises UnknownKind, Forbidden or Invalid, naming the field."""
    found = may_publish(kind, sender.role, config)
    raw = bytes(data) if isinstance(data, ENCODED) else encode(data)
    try:
        raw.decode()
        payload = decode_data(found, raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"{kind}: {error}", field=_field(str(error))) from None
    if expires_at is not None and expires_at.tzinfo is None:
        raise Invalid("expires_at needs a time zone.", field="expires_at")
    if expires_at is not None and not FIRST < expires_at < LAST:
        raise Invalid("expires_at is no moment that everybody can read.", field="expires_at")
    own = checked_id(id, "id") or uuid.uuid4().hex
    return Draft(room, found, own, raw, payload, sender, expires_at, checked_id(replaces, "replaces"), received_s)


def checked_id(given: str | None, field: str) -> str:
    """As it was given, "" for none. Raises Invalid for what the wire forbids: Django code has no decoder before it."""
    if not given or (isinstance(given, str) and good_id(given)):
        return given or ""
    try:  # for its sentence
        return msgspec.convert(given, Id)
    except msgspec.ValidationError as error:
        raise Invalid(f"{field}: {error}", field=field) from None


def _field(message: str) -> str:
    """The offending field of a msgspec message such as "Expected `int`, got `str` - at `$.minutes`"."""
    return "data" + message.rpartition("`$")[2].rstrip("`") if "`$" in message else "data"
