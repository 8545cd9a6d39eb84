"""What a process that cannot keep up does without. PURE. P0 and P1 are never shed, nor anything of planner and vendor but
ornaments: whoever runs the day comes before whoever enjoys it."""

from __future__ import annotations

from realtime.kinds import Kind, Priority
from realtime.roles import Role

LEVEL_MAX = 3
LEVELS = (
    "",
    "reactions, typing and positions of guests",
    "everything ephemeral of guests and displays",
    "everything of guests and displays but emergencies; ornaments of the crew",
)
"""In words, by level."""
_AUDIENCE = Role.GUEST | Role.DISPLAY
_CREW = Role.VENDOR | Role.COUPLE


def sheds(level: int, role: Role, kind: Kind) -> bool:
    """Whether a publication of `kind` by `role` is refused at `level`."""
    if not level or kind.priority <= Priority.P1:
        return False
    if role & _AUDIENCE:
        return level >= LEVEL_MAX or (kind.priority is Priority.P3 and (kind.spare or level >= LEVEL_MAX - 1))
    return level >= LEVEL_MAX and kind.spare and bool(role & _CREW)
