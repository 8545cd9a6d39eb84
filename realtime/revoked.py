"""Whose access was withdrawn. Tickets are good without the database; this is what they are held against."""

from __future__ import annotations

from collections.abc import Container

from realtime.messages import Sender

Revoked = Container[str | tuple[str, str]]
"""Members by id, whatever their role, and as (id, role) where they have this role no more; logins that are over by name."""
LOGIN = "login"
"""In the session of an account: the name of this login, which goes into every ticket that comes from it. No member has it."""


def withdrawn(member: Sender, login: str, revoked: Revoked) -> bool:
    """Whether this member is no longer what its ticket says, or has logged out since ("": came without an account)."""
    return member.member in revoked or (member.member, member.role) in revoked or (login != "" and login in revoked)
