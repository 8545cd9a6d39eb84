"""Whose access was withdrawn. Tickets are good without the database; this is what they are held against."""

from __future__ import annotations

from collections.abc import Container

from realtime.messages import Sender

Revoked = Container[str | tuple[str, str]]
"""Of members the id, whatever their role, and (id, role) where they have this role no more."""


def withdrawn(member: Sender, revoked: Revoked) -> bool:
    """Whether this member is no longer what its ticket says."""
    return member.member in revoked or (member.member, member.role) in revoked
