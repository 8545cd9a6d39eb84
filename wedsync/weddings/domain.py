"""The run sheet behind the journal: commands act on it, snapshots read it, and nobody learns of items that are not for them.

Three levels of visibility, each within the next: planners, crew, everyone. A command's own entry goes to the crew (to the
planners when its item is theirs alone) with the full form of what changed; every other level that has changed items gets a
`timeline.items` entry of its own, from narrow to wide, so that each reader has met the fullest form first.

All who get the full form of an item get the same one: a version has one meaning. So the items that something waits for are
named only as far as the least trusted reader of that form may know them; the server still moves it with the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import InterfaceError, OperationalError, connection
from msgspec import Struct

from realtime.errors import JournalUnavailable, Refused
from realtime.fence import PREFIX
from realtime.kinds import CueGo, ItemEvent, Kind, Reorder, Restore, SheetEdited, Shift
from realtime.messages import Sender, encode
from realtime.models import Room
from realtime.policy.windows import event_window
from realtime.ports import Effect
from realtime.revoked import link_name
from realtime.roles import OPS, ROLES, VIEWS, Audience, Role, sees
from wedsync.weddings.models import (
    MINUTES_MAX,
    ApiToken,
    Member,
    RunSheetItem,
    Wedding,
    minutes_min,
    start_faults,
    tellable,
)
from wedsync.weddings.revocation import Revoked, revoked
from wedsync.weddings.timeline import Conflict, Impossible, Item, Plan, reorder, shift

LEVELS: dict[str, Audience] = {"planners": Audience.PLANNERS, "crew": Audience.CREW, "everyone": Audience.EVERYONE}
"""Visibility of an item to the audience that may see it, from narrow to wide."""
RANK = {visibility: rank for rank, visibility in enumerate(LEVELS)}
READER = {"planners": Role.PLANNER, "crew": Role.VENDOR, "everyone": Role.GUEST}
"""A role that sees just this level and what is wider."""
AROUND = timedelta(days=1)
OVER = ("completed", "cancelled")
NAMING = ("item", "after")
"""Fields of commands that hold the id of an item."""
NAME_MAX = 120
"""Characters of a name that the journal keeps; a user name may have 150."""
TOO_FAR = "Something would be too long ago or too far ahead."

# Written out: the ORM's statement, with a CASE for each column, took longer to make than to carry out, and others wait for it.
_CHANGE = "UPDATE weddings_runsheetitem SET start = %s, planned = %s, minutes = %s, status = %s, version = %s WHERE id = %s"


def level_of_view(view: int) -> str:
    """The narrowest level whose items a view may see: it sees that and everything wider."""
    return next(visibility for visibility, audience in LEVELS.items() if sees(view, audience))


def visible_at(item: RunSheetItem, level: str) -> bool:
    """Whether readers of `level` may see the item."""
    return RANK[item.visibility] >= RANK[level]


def item_state(item: RunSheetItem, level: str, sheet: Mapping[int, RunSheetItem]) -> dict[str, Any]:
    """The item as readers of `level` get it; `sheet` is the whole run sheet, {id: item}."""
    state: dict[str, Any] = {
        "id": item.pk,
        "start": _utc(item.start),
        "minutes": item.minutes,
        "title": item.title,
        "where": item.where,
        "kind": item.kind,
        "status": item.status,
        "version": item.version,
    }
    if item.planned is not None and item.planned != item.start:
        state["planned"] = _utc(item.planned)
    if level != "everyone":
        readers = "planners" if item.visibility == "planners" else "crew"
        depends_on = [n for n in item.depends_on if n in sheet and visible_at(sheet[n], readers)]
        state |= {"who": item.who, "notes": item.notes, "depends_on": depends_on, "visibility": item.visibility}
    return state


class WeddingDomain:
    """`realtime.ports.Domain` over the models of this app."""

    def act(self, room: str, kind: Kind, data: Struct, sender: Sender) -> list[Effect]:
        """Carry out a command. Raises Refused, and then nothing has changed."""
        if isinstance(data, SheetEdited):
            return self._sheet_effects(room, data)
        query = RunSheetItem.objects.filter(wedding__slug=room).select_for_update(of=("self",)).order_by("id")
        sheet = {item.pk: item for item in query}
        named = _named(data, sheet, sender)
        plan = _plan(data, sheet)
        changed = _apply(sheet, plan, data)
        return _effects(sheet, named, changed, plan)

    def preview(self, room: str, data: Struct, sender: Sender) -> dict[str, Any]:
        """What a command would do, without doing it, as far as this sender may know the items. Raises Refused as `act` does.

        `moves`: items with their new start and minutes; `stays`: ids of fixed items that wait for one of those; `absorbed`:
        {buffer: minutes it gives}; `conflicts`: what no longer fits.
        """
        sheet = {item.pk: item for item in RunSheetItem.objects.filter(wedding__slug=room).order_by("start", "id")}
        _named(data, sheet, sender)
        plan, level = _plan(data, sheet), _level(sender)
        seen = [item for item in sheet.values() if visible_at(item, level)]
        moves = [
            {"item": n, "version": sheet[n].version, "start": _utc(new.start), "minutes": new.minutes}
            for n, new in plan.changed.items()
            if sheet[n] in seen
        ]
        fixed = [
            i.pk
            for i in seen
            if i.kind == "anchor" and i.pk not in plan.changed and not plan.changed.keys().isdisjoint(i.depends_on)
        ]
        return {"moves": moves, "stays": fixed} | _consequences(sheet, plan, level)

    def _sheet_effects(self, room: str, data: SheetEdited) -> list[Effect]:
        """After an edit or an import: the whole sheet for each level, from narrow to wide, in the form for that level."""
        effects: list[Effect] = []
        for level, audience in LEVELS.items():
            removed = [pk for visibility, gone in data.removed.items() if RANK[visibility] >= RANK[level] for pk in gone]
            told = encode({"items": self.items(room, VIEWS[READER[level]]), "removed": removed})
            own = not effects
            effects.append(Effect(int(audience), told) if own else Effect(int(audience), kind="timeline.items", data=told))
        return effects

    def items(self, room: str, view: int) -> list[dict[str, Any]]:
        """The run sheet as this view may see it, in order of time."""
        level = level_of_view(view)
        sheet = {item.pk: item for item in RunSheetItem.objects.filter(wedding__slug=room).order_by("start", "id")}
        return [item_state(item, level, sheet) for item in sheet.values() if visible_at(item, level)]

    def member(self, room: str, user: Any, session: Any) -> Sender | None:
        """Who this is: a member by account, else staff by account, else a member by the join link of this session. In the room
        of the operators staff only, whatever is called like it."""
        if room == OPS:
            return _operator(user)
        members = Member.welcome().filter(wedding__slug=room)
        if user is not None and user.is_authenticated:
            if (found := members.filter(user=user).first()) is not None:
                return Sender(found.public_id, found.role, found.name)
            if user.is_staff and Wedding.objects.filter(slug=room).exists():
                return _staff(user)
        joined = session.get("members", {}).get(room) if session is not None else None
        found = members.filter(join_key=joined).first() if joined is not None else None
        return None if found is None else Sender(found.public_id, found.role, found.name)

    def link(self, room: str, user: Any, session: Any) -> str:
        """Whoever is there by account may have opened a link, too: it is no matter then."""
        joined = session.get("members", {}).get(room)
        return "" if joined is None or self.member(room, user, None) is not None else link_name(joined)

    def revoked(self) -> Revoked:
        """Members that are gone, revoked or no longer in their role, and accounts that are not staff."""
        try:
            return revoked()
        except (OperationalError, InterfaceError) as error:
            raise JournalUnavailable from error

    def today(self, now: datetime) -> set[str]:
        """By their ceremonies: cheap enough to be asked by every worker. Those of drills have no day."""
        near = Wedding.objects.filter(ceremony_at__range=(now - AROUND, now + AROUND))
        rows = near.exclude(slug__startswith=PREFIX).values_list("slug", "ceremony_at", "timezone")
        return {slug for slug, at, zone in rows if event_window(slug, at, ZoneInfo(zone)).open(now.timestamp())}

    def token(self, room: str, token: str) -> Sender | None:
        """The program behind an API token; it may do what staff may."""
        found = ApiToken.find(room, token) if room != OPS else None
        return None if found is None else Sender(f"a{found.pk}", "staff", found.name)


domain = WeddingDomain()


def _operator(user: Any) -> Sender | None:
    """A member of the operators' room, which is made for the first of them."""
    if user is None or not (user.is_authenticated and user.is_active and user.is_staff):
        return None
    Room.objects.get_or_create(name=OPS)
    return _staff(user)


def _staff(user: Any) -> Sender:
    return Sender(f"u{user.pk}", "staff", user.get_username()[:NAME_MAX])


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _level(sender: Sender) -> str:
    return level_of_view(VIEWS[ROLES.get(sender.role, Role.STAFF)])


def _named(data: Struct, sheet: Mapping[int, RunSheetItem], sender: Sender) -> list[RunSheetItem]:
    """The items a command names. Raises Refused for one that does not exist, or not for this sender."""
    if isinstance(data, Restore):
        wanted = [("items", restored.item) for restored in data.items]
    else:
        wanted = [(name, getattr(data, name)) for name in NAMING if name in data.__struct_fields__]
    level, named = _level(sender), []
    for field, pk in wanted:
        item = sheet.get(pk)
        if item is None or not visible_at(item, level):
            raise Refused("There is no such item on this run sheet.", field=f"data.{field}")
        named.append(item)
    return named


def _plan(data: Struct, sheet: dict[int, RunSheetItem]) -> Plan:
    """What moves. Raises Refused, also when something would come to what a run sheet may not have."""
    try:
        plan = _worked_out(data, sheet)
        spoiled = _spoiled(plan, sheet)
    except OverflowError:
        spoiled = TOO_FAR
    if spoiled:
        raise Refused(spoiled, field="data.items" if isinstance(data, Restore) else "data.item")
    return plan


def _spoiled(plan: Plan, sheet: Mapping[int, RunSheetItem]) -> str:
    """Why this plan cannot be, "" when it can. What was wrong with a line before may stay so: the day has to go on."""
    wedding = None
    for pk, new in plan.changed.items():
        if not tellable(new.start, new.minutes):
            return TOO_FAR
        old = sheet[pk]
        wedding = wedding or old.wedding  # of all of them, read once
        for fault in _faults(new.start, new.minutes, old.kind, wedding):
            if fault not in _faults(old.start, old.minutes, old.kind, wedding):
                return f"{old.title}: {fault}"
    return ""


def _faults(start: datetime, minutes: int, kind: str, wedding: Wedding) -> list[str]:
    faults = start_faults(start, wedding)
    if not minutes_min(kind) <= minutes <= MINUTES_MAX:
        faults.append(f"From {minutes_min(kind)} to {MINUTES_MAX:,} minutes.")
    return faults


def _worked_out(data: Struct, sheet: dict[int, RunSheetItem]) -> Plan:
    items = [
        Item(item.pk, item.start, item.minutes, item.kind, tuple(item.depends_on), item.status in OVER)
        for item in sheet.values()
    ]
    try:
        match data:
            case Shift(item, minutes):
                return shift(items, item, minutes)
            case Reorder(item, after):
                return reorder(items, item, after)
            case Restore():
                return _restored(data, sheet, items)
            case CueGo(item) if sheet[item].kind != "cue":
                raise Refused("Only a cue can be given; this item is not one.", field="data.item")
    except Impossible as error:
        raise Refused(str(error), field="data.item") from None
    return Plan()


def _restored(data: Restore, sheet: dict[int, RunSheetItem], items: Iterable[Item]) -> Plan:
    """Everything back to where it was. Raises Refused when one of the items was changed by somebody else since."""
    known = {item.id: item for item in items}
    for back in data.items:
        if back.start.tzinfo is None:
            raise Refused("Nothing can have begun then.", field="data.items")
        if sheet[back.item].version != back.version:
            raise Refused(f"{sheet[back.item].title} was changed again meanwhile; this is not undone.", field="data.items")
    return Plan({b.item: replace(known[b.item], start=b.start, minutes=b.minutes) for b in data.items})


def _apply(sheet: dict[int, RunSheetItem], plan: Plan, data: Struct) -> list[RunSheetItem]:
    """Store the plan or the new status. Returns the changed items; none when there is nothing to change."""
    status = data.status if isinstance(data, ItemEvent) else "completed" if isinstance(data, CueGo) else None
    changed = [sheet[n] for n in sorted(plan.changed)]
    for item in changed:
        item.planned = item.planned or item.start
        item.start, item.minutes = plan.changed[item.pk].start, plan.changed[item.pk].minutes
    if status is not None and sheet[data.item].status != status:  # type: ignore[attr-defined]
        sheet[data.item].status = status  # type: ignore[attr-defined]
        changed.append(sheet[data.item])  # type: ignore[attr-defined]
    for item in changed:
        item.version += 1
    moment = connection.ops.adapt_datetimefield_value
    rows = [(moment(i.start), moment(i.planned), i.minutes, i.status, i.version, i.pk) for i in changed]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_CHANGE, rows)
    return changed


def _effects(
    sheet: dict[int, RunSheetItem], named: Iterable[RunSheetItem], changed: list[RunSheetItem], plan: Plan
) -> list[Effect]:
    """The command's own entry first, then one for each level that has not heard of all its changed items."""
    # Its data is handed on as it came, with the ids in it: one item of the planners, and it is theirs.
    own = "planners" if any(item.visibility == "planners" for item in named) else "crew"
    effects = [Effect(int(LEVELS[own]), encode(_told(sheet, changed, own) | _consequences(sheet, plan, own)))]
    for level, audience in LEVELS.items():
        if level == own:
            continue
        # Planners read the crew's entries too: only what is theirs alone is missing there.
        news = [item for item in changed if level != "planners" or item.visibility == "planners"]
        told = _told(sheet, news, level)
        if told["items"]:
            effects.append(Effect(int(audience), kind="timeline.items", data=encode(told)))
    return effects


def _told(sheet: dict[int, RunSheetItem], changed: Iterable[RunSheetItem], level: str) -> dict[str, Any]:
    return {"items": [item_state(item, level, sheet) for item in changed if visible_at(item, level)]}


def _consequences(sheet: dict[int, RunSheetItem], plan: Plan, level: str) -> dict[str, Any]:
    """What buffers gave and what no longer fits, as far as readers of `level` may know the items."""

    def known(*ids: int) -> bool:
        return all(visible_at(sheet[n], level) for n in ids)

    absorbed = {str(n): minutes for n, minutes in plan.absorbed.items() if known(n)}
    conflicts = [_conflict(c) for c in plan.conflicts if known(c.item, c.waits_for)]
    return {"absorbed": absorbed, "conflicts": conflicts}


def _conflict(conflict: Conflict) -> dict[str, int]:
    return {"item": conflict.item, "waits_for": conflict.waits_for, "minutes": conflict.minutes}
