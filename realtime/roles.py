"""Who is in a room, and which groups of roles an entry may be addressed to.

A role is one bit, an audience is a set of such bits. The journal stores the audience of each entry as a number, so that what
somebody was allowed to see is fixed when it is written and a later change of the kinds table leaks nothing old.
"""

from enum import IntFlag


class Role(IntFlag):
    """What one person in a room is. The values are stored in the journal: append, never renumber."""

    PLANNER = 1
    COUPLE = 2
    VENDOR = 4
    GUEST = 8
    DISPLAY = 16
    STAFF = 32
    LOAD = 64


class Audience(IntFlag):
    """The closed list of role sets an entry may be addressed to. The values are stored in the journal."""

    EVERYONE = 127
    CREW = Role.PLANNER | Role.COUPLE | Role.VENDOR | Role.STAFF
    PLANNERS = Role.PLANNER | Role.COUPLE | Role.STAFF
    PHOTOS = Role.PLANNER | Role.COUPLE | Role.GUEST | Role.DISPLAY | Role.STAFF
    DESK = Role.PLANNER | Role.DISPLAY | Role.STAFF
    STAFF = Role.STAFF


ROLES: dict[str, Role] = {role.name.lower(): role for role in Role if role.name}
ROLE_NAMES: dict[Role, str] = {role: name for name, role in ROLES.items()}
AUDIENCES: tuple[Audience, ...] = (
    Audience.EVERYONE,
    Audience.CREW,
    Audience.PLANNERS,
    Audience.PHOTOS,
    Audience.DESK,
    Audience.STAFF,
)
OPS = "ops"
"""The room of the operators: no wedding. Only staff come in, nobody says anything there but the control loop."""


def _view(role: Role) -> int:
    """All roles that belong to exactly the same audiences as `role`, as a mask: members with one view get the same bytes."""
    mine = [audience & role != 0 for audience in AUDIENCES]
    return sum(other for other in Role if [audience & other != 0 for audience in AUDIENCES] == mine)


VIEWS: dict[Role, int] = {role: _view(role) for role in Role}


def sees(view: int, audience: int) -> bool:
    """Whether members of `view` (a value of `VIEWS`) may see an entry addressed to `audience`."""
    return view & audience != 0


def head_of(view: int, heads: dict[int, int]) -> int:
    """The offset of the last entry that `view` may see, 0 when there is none; `heads` is {audience: last offset}."""
    return max((offset for audience, offset in heads.items() if sees(view, audience)), default=0)
