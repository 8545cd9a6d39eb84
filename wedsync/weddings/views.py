"""The pages: which weddings are mine, the way in by a join link, and the live page of one wedding.

Each is complete without JavaScript; `static/weddings/page.js` keeps the live page current. A person sees what the domain gives
their role, nothing is filtered in a template.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

import msgspec
from django.contrib.auth.views import redirect_to_login
from django.contrib.staticfiles import finders
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from msgspec import Raw

from realtime.bootstrap import services
from realtime.clock import SystemClock
from realtime.errors import Refused
from realtime.frame import Frame
from realtime.kinds import KINDS, Shift
from realtime.messages import Sender, Snapshot, encode
from realtime.policy.limits import message_limit
from realtime.roles import ROLES, VIEWS, Audience, Role, head_of
from wedsync.weddings import board
from wedsync.weddings.domain import OVER, domain
from wedsync.weddings.models import Member, Wedding

View = Callable[..., HttpResponseBase]
SCRIPTS = [f"realtime/{name}.js" for name in ("room", "moving", "link", "outbox", "state")] + [
    f"weddings/{name}.js" for name in ("live", "plan", "talk", "people", "trust", "behind", "keep", "dom")
]
"""Loaded at once instead of one after the other, as the imports would have it."""
NO_LINK = "This join link does not work. It may have been replaced; please ask the person who sent it for a new one."
NO_SHIFT = "Choose an item, and whole minutes: at most 1,440, which is a day."
NO_WEDDING = "There is no wedding here that you may enter. If you were invited, open your join link again."


def page(view: View) -> View:
    """Headers of every page: never cached, and nothing from elsewhere is loaded, run or told."""

    @wraps(view)
    @never_cache
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        host = request.get_host()
        # Older Safari does not count WebSockets of the same host as 'self'.
        response["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
            f"connect-src 'self' ws://{host} wss://{host}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        return response

    return answer


def _not_found(request: HttpRequest, sentence: str) -> HttpResponse:
    return render(request, "404.html", {"sentence": sentence}, status=404)


@page
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The weddings this person may enter."""
    found = [(wedding, me) for wedding in _entered(request) if (me := _me(request, wedding.slug)) is not None]
    return render(request, "weddings/index.html", {"weddings": found})


def _entered(request: HttpRequest) -> list[Wedding]:
    """Those worth asking the domain about: all for staff, else by account and by join link."""
    if request.user.is_authenticated and request.user.is_staff:
        return list(Wedding.objects.all())
    mine = Wedding.objects.filter(slug__in=request.session.get("members", {}))
    if request.user.is_authenticated:
        mine |= Wedding.objects.filter(members__user=request.user)
    return list(mine.distinct())


def _me(request: HttpRequest, slug: str) -> Sender | None:
    return domain.member(slug, request.user, request.session)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, key: str) -> HttpResponse:
    """A join link: says who is meant; the button makes this browser that member. Looking alone (link previews) does nothing.

    Who is logged in stays who they are: an account that is somebody else here has to log out first.
    """
    member = Member.welcome().select_related("wedding").filter(join_key=key).first()
    if member is None:
        return _not_found(request, NO_LINK)
    slug = member.wedding.slug
    me = domain.member(slug, request.user, None)
    other = me if me is not None and me.member != member.public_id else None
    if request.method != "POST" or other is not None:
        return render(request, "weddings/join.html", {"member": member, "wedding": member.wedding, "other": other})
    # By the link and not by the member: with a new link whoever came in by the old one is out.
    request.session["members"] = request.session.get("members", {}) | {slug: member.join_key}
    request.session.cycle_key()  # a session id that somebody else planted is worth nothing now
    return redirect("wedding", slug)


@page
@require_safe
def wedding(request: HttpRequest, slug: str) -> HttpResponse:
    """The live page. 404 for a wedding that does not exist and for one that is not theirs alike."""
    me = _me(request, slug)
    if me is None:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return _not_found(request, NO_WEDDING)
    found = Wedding.objects.filter(slug=slug).first()
    if found is None:  # the room of the operators
        return _not_found(request, NO_WEDDING)
    with timezone.override(found.zone):  # templates show every time in the current zone
        return render(request, "weddings/wedding.html", _live(found, me, SystemClock().now()))


@page
@require_safe
def worker(request: HttpRequest) -> HttpResponseBase:
    """The service worker, which keeps pages for when there is no network. At the root: it rules what is below its path."""
    path = finders.find("weddings/worker.js")
    return FileResponse(open(str(path), "rb"), content_type="text/javascript")


@page
@require_safe
def preview(request: HttpRequest, slug: str) -> HttpResponse:
    """What `?item=&minutes=` would move, as JSON; 403 for who may not shift, 409 with a sentence when it is impossible."""
    me = _me(request, slug)
    if me is None or not ROLES[me.role] & KINDS["timeline.shift"].publishers:
        return JsonResponse({"error": "You may not change this plan."}, status=403)
    try:
        asked = msgspec.convert(request.GET.dict(), Shift, strict=False)
        return JsonResponse(domain.preview(slug, asked, me))
    except msgspec.ValidationError:
        return JsonResponse({"error": NO_SHIFT}, status=422)
    except Refused as error:
        return JsonResponse({"error": error.message}, status=409)


def _live(wedding: Wedding, me: Sender, now: datetime) -> dict[str, Any]:
    """What the live page is rendered from; `start` is what the scripts go on from."""
    role = ROLES[me.role]
    epoch, snapshot = _snapshot(wedding.slug, VIEWS[role])
    rows = _rows(snapshot.items, wedding, now)
    shown = msgspec.json.decode(encode(snapshot))
    people = board.people(wedding, role)
    start = _start(wedding, me, now, people) | {"epoch": epoch, "snapshot": shown}
    return {
        "wedding": wedding,
        "me": me,
        "screen": "display" if role & Role.DISPLAY else "board" if role & Audience.PLANNERS else "phone",
        "now": now,
        "zone": wedding.timezone.rpartition("/")[2].replace("_", " "),
        "ceremony": wedding.ceremony_at,
        "rows": rows,
        "days": sum(row["new_day"] for row in rows),
        "current": [row for row in rows if row["now"]],
        "next": next((row for row in rows if row["ahead"]), None),
        "mine": [row for row in rows if board.concerns(row["who_list"], start["trade"])],
        "may": {name.replace(".", "_"): bool(kind.publishers & role) for name, kind in KINDS.items()},
        "sees": {name.replace(".", "_"): bool(kind.audience & role) for name, kind in KINDS.items()},
        "crew": bool(role & Audience.CREW),
        "plans": bool(role & KINDS["timeline.shift"].publishers),
        "start": start,
        "scripts": SCRIPTS,
    } | board.shown(shown, people, rows, wedding)


def _start(wedding: Wedding, me: Sender, now: datetime, people: list[dict[str, str]]) -> dict[str, Any]:
    role = ROLES[me.role]
    return {
        "slug": wedding.slug,
        "member": me.member,
        "role": me.role,
        "name": me.name,
        "trade": board.trade(wedding, me),
        "zone": wedding.timezone,
        "now": int(now.timestamp() * 1_000),
        "maxBytes": message_limit(role, services().config),
        "people": people,
        "seen": board.seen_by(wedding, me),
        "changes": board.changes(wedding.slug, VIEWS[role]) if role & Audience.CREW else [],
    }


def _snapshot(slug: str, view: int) -> tuple[str, Snapshot]:
    """(epoch, state) as the WebSocket would send it, so that the page goes on from here without a second one."""
    state = services().journal.state(slug, view)
    latest, recent = ([Raw(Frame(entry).text()) for entry in entries] for entries in (state.latest, state.recent))
    return state.position.epoch, Snapshot(head_of(view, state.position.heads), state.items, latest, recent)


def _rows(items: list[dict[str, Any]], wedding: Wedding, now: datetime) -> list[dict[str, Any]]:
    """Run sheet items in venue time, with what page.js works out in the same way: what is on now and what is ahead."""
    rows: list[dict[str, Any]] = []
    for item in items:
        start = datetime.fromisoformat(str(item["start"])).astimezone(wedding.zone)
        end = start + timedelta(minutes=int(item["minutes"]))
        counts = item["kind"] != "buffer" and item["status"] not in OVER
        row = item | {"at": start, "end": end, "who": ", ".join(item.get("who", ())), "who_list": item.get("who", ())}
        planned = datetime.fromisoformat(str(item.get("planned", item["start"])))
        row["late"] = round((start - planned).total_seconds() / 60)
        row["now"] = counts and (item["status"] == "in_progress" or start <= now < end)
        row["ahead"] = counts and not row["now"] and start > now
        row["new_day"] = not rows or rows[-1]["at"].date() != start.date()
        rows.append(row)
    return rows
