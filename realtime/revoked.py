"""Whose access was withdrawn. Tickets are good without the database; this is what they are held against."""

from __future__ import annotations

import hashlib
from collections.abc import Container

from realtime.messages import Sender

Revoked = Container[str | tuple[str, str]]
"""Members by id, whatever their role, and as (id, role) where they have this role no more; logins that are over by name."""
LOGIN = "login"
"""In the session of an account: the name of this login, which goes into every ticket that comes from it. No member has it."""


def password_name(session_hash: str) -> str:
    """The other name that a login goes by: that of the password it came with, from Django's hash of it for sessions."""
    return f"p:{session_hash[:12]}"


def link_name(key: str) -> str:
    """What a login by a join link goes by. It is in tickets, and does not tell the link."""
    return f"k:{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def withdrawn(member: Sender, login: str, revoked: Revoked) -> bool:
    """Whether this member is no longer what its ticket says, or its login is over by one of its names, which stand in `login`
    with spaces between ("": came with neither an account nor a link)."""
    over = login != "" and any(name in revoked for name in login.split())
    return over or member.member in revoked or (member.member, member.role) in revoked
