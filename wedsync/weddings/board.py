"""What the people's screens are rendered from, beside the run sheet: who belongs to the wedding, vendors, issues, the door.

The scripts (`static/weddings/people.js`, `trust.js`) work out the same from the same publications.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from realtime.bootstrap import services
from realtime.messages import Sender
from realtime.models import JournalEntry
from realtime.roles import Audience, Role
from wedsync.weddings.models import Member, Wedding

PEOPLE_MAX = 400
"""Named on a planner's page, crew first: about 30 KB. Guests beyond it are in the counts of the publications themselves."""
CHANGES_MAX = 14
LOOK_BACK = 500
"""Offsets that a page looks back for changes of the plan, as far as a snapshot looks for chat."""
CHANGES = ("timeline.shift", "timeline.reorder", "timeline.restore", "timeline.event", "cue.go")
HERE = ("checked_in", "on_site")
WORDS = {
    "pending": "expected",
    "en_route": "on the way",
    "checked_in": "here",
    "on_site": "here",
    "delayed": "late",
    "completed": "done",
}


def people(wedding: Wedding, role: Role) -> list[dict[str, str]]:
    """Who belongs to the wedding, for those who have to know whom a message did not reach; [] for everybody else."""
    if not role & Audience.PLANNERS:
        return []
    crew = {"planner": 0, "couple": 1, "vendor": 2, "display": 3, "guest": 4}
    found = sorted(wedding.members.filter(revoked=False), key=lambda m: (crew.get(m.role, 5), m.name))
    return [
        {"member": m.public_id, "role": m.role, "name": m.name, "trade": m.title or m.name if m.role == "vendor" else ""}
        for m in found[:PEOPLE_MAX]
    ]


def trade(wedding: Wedding, me: Sender) -> str:
    """What the run sheet calls this vendor, "" for everybody else."""
    if me.role != "vendor":
        return ""
    member = Member.objects.filter(wedding=wedding, pk=int(me.member.removeprefix("m"))).first()
    return member.title or member.name if member is not None else ""


def concerns(who: Iterable[str], trade: str) -> bool:
    """Whether an item for `who` is this vendor's."""
    return bool(trade) and trade.casefold() in {name.casefold() for name in who}


def seen_by(wedding: Wedding, me: Sender) -> list[str]:
    """What this person has confirmed to have seen; the publications themselves are for the planners."""
    mine = JournalEntry.objects.filter(room__name=wedding.slug, kind="seen", member=me.member)
    return sorted({msgspec.json.decode(data)["about"] for data in mine.values_list("data", flat=True)})


def changes(slug: str, view: int) -> list[dict[str, Any]]:
    """The latest changes of the plan that `view` may see, oldest first, in the form of publications without their items."""
    journal = services().journal
    since = max(0, journal.position(slug).offset - LOOK_BACK)
    entries = [entry for entry in journal.history(slug, since, view, LOOK_BACK)[1] if entry.kind in CHANGES]
    cues = [entry for entry in entries if entry.kind == "cue.go"]
    chosen = {entry.offset: entry for entry in cues + entries[-CHANGES_MAX:]}
    return [
        {
            "kind": entry.kind,
            "id": entry.id,
            "from": msgspec.to_builtins(entry.sender),
            "at": entry.at.isoformat(),
            "offset": entry.offset,
            "data": msgspec.json.decode(entry.data) | {"items": []},
            "result": {"conflicts": msgspec.json.decode(entry.result or b"{}").get("conflicts", [])},
        }
        for _, entry in sorted(chosen.items())
    ]


def shown(
    snapshot: dict[str, Any], people: Sequence[dict[str, str]], rows: Sequence[dict[str, Any]], wedding: Wedding
) -> dict[str, Any]:
    """Lists of the templates, out of the same snapshot that the scripts go on from."""
    latest: dict[str, list[dict[str, Any]]] = {}
    for pub in [*snapshot["latest"], *snapshot["recent"]]:
        latest.setdefault(pub["kind"], []).append(pub | {"at": datetime.fromisoformat(pub["at"]).astimezone(wedding.zone)})
    told = [pub | {"word": pub["data"]["category"].replace("_", " ")} for pub in latest.get("emergency.alert", ())]
    alerts = [pub for pub in told if pub["data"].get("state", "active") == "active"]
    issues = [pub for pub in latest.get("issue.report", ()) if pub["data"].get("state") != "resolved"]
    checkins = [pub["data"] for pub in latest.get("guest.checkin", ())]
    return {
        "alerts": alerts,
        "issues": issues,
        "vendors": _vendors(latest.get("vendor.status", ()), people, rows),
        "cues": [row for row in rows if row["kind"] == "cue"],
        "inside": sum(data.get("party", 1) for data in checkins if data.get("arrived", True)),
        "announcements": latest.get("announcement", [])[::-1],
    }


def _vendors(
    said: Iterable[dict[str, Any]], people: Sequence[dict[str, str]], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Every trade with what was said of it last, by whom where several are of it, and when its first item begins."""
    status = {pub["data"]["vendor"]: pub for pub in said}
    trades = Counter(p["trade"] for p in people if p["role"] == "vendor")
    names = list(dict.fromkeys([*trades, *status]))
    return [
        {
            "name": name,
            "word": WORDS[status[name]["data"]["status"]] if name in status else "expected",
            "said": status.get(name),
            "shared": trades[name] > 1,
            "first": next((row["at"] for row in rows if concerns(row["who_list"], name)), None),
        }
        for name in names
    ]
