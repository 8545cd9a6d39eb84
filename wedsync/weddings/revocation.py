"""Who may no longer come in, whatever ticket they hold. Asked by every process every second."""

from __future__ import annotations

import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest
from msgspec import Struct

from realtime.clock import SystemClock
from realtime.revoked import LOGIN, password_name
from wedsync.weddings.models import ApiToken, Member, Withdrawn


class Revoked(Struct, frozen=True):
    """Members by their id, or (id, role they have no more); logins by name. Accounts the other way round: those that are staff.

    A member of no table is welcome, since load tools and drills bring their own; an account is only ever in a ticket as staff.
    """

    members: frozenset[str | tuple[str, str]]
    staff: frozenset[str]
    programs: frozenset[str]
    """The other way round, too: those whose API token is good. As (id, "staff"): only a token makes somebody one of them."""

    def __contains__(self, who: str | tuple[str, str]) -> bool:
        if isinstance(who, tuple) and who[1] == "staff" and who[0].startswith("a") and who[0][1:].isdecimal():
            return who[0] not in self.programs
        account = isinstance(who, str) and who.startswith("u") and who[1:].isdecimal()
        return who in self.members or (account and who not in self.staff)


def revoked() -> Revoked:
    """As the database has it now, however it came to that: nothing is kept in the process."""
    accounts = get_user_model().objects.order_by()
    staff = accounts.filter(is_staff=True, is_active=True).values_list("pk", flat=True)
    # Those who are not in `Member.welcome`; as two questions each has its index.
    pks = Member.objects.order_by().values_list("pk", flat=True)
    closed = [*pks.filter(revoked=True), *pks.filter(user__in=accounts.filter(is_active=False))]
    former = Withdrawn.standing(SystemClock().now()).values_list("member", "role")
    members: set[str | tuple[str, str]] = {f"m{pk}" for pk in closed}
    members |= {role if pk == Withdrawn.NOBODY else (f"m{pk}", role) for pk, role in former}
    tokens = ApiToken.objects.order_by().filter(revoked_at=None).values_list("pk", flat=True)
    return Revoked(
        frozenset(members),
        frozenset(f"u{pk}" for pk in staff),
        frozenset(f"a{pk}" for pk in tokens),
    )


def logged_in(request: HttpRequest, **_: Any) -> None:
    """Name the login. Not after the session's key, which changes while somebody stays logged in; and who logs in once more
    keeps the name, which is in tickets."""
    request.session.setdefault(LOGIN, f"s:{secrets.token_urlsafe(9)}")


def saving(sender: Any, instance: Any, update_fields: Any = None, **_: Any) -> None:
    """With its password an account's logins are over, wherever they are; Django ends their pages, not what is open."""
    if update_fields is not None and "password" not in update_fields:
        return
    before = sender.objects.filter(pk=instance.pk).exclude(password=instance.password).first()
    if before is not None:
        Withdrawn.note([(Withdrawn.NOBODY, password_name(before.get_session_auth_hash()))])
