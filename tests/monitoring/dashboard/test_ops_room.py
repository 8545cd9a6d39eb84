"""Room `ops`: for staff alone, and what is said there reaches nobody else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError

from monitoring.admin.reading import cell
from monitoring.dashboard.kind import OPS_STATUS
from monitoring.dashboard.shown import nothing
from realtime.access import may_publish
from realtime.draft import draft
from realtime.errors import Forbidden
from realtime.messages import Sender
from realtime.roles import OPS, ROLES, VIEWS, Role, sees
from tests.realtime.test_consumers import GUEST, PLANNER, ROOM, Site, site, until
from wedsync.weddings.domain import WeddingDomain
from wedsync.weddings.models import ApiToken, Member, Wedding

__all__ = ["site"]
AT = datetime(2027, 6, 12, 12, tzinfo=UTC)


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"staff"}))
def test_nobody_but_staff_sees_what_operators_are_told(role: str) -> None:
    assert not sees(VIEWS[ROLES[role]], OPS_STATUS.audience)
    assert sees(VIEWS[Role.STAFF], OPS_STATUS.audience)


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"load"}))
def test_nobody_in_a_room_says_what_the_control_loop_says(role: str, settings: Any) -> None:
    with pytest.raises(Forbidden):
        may_publish(OPS_STATUS.name, role, settings.REALTIME)


async def test_even_in_a_wedding_s_room_it_reaches_staff_alone(site: Site) -> None:
    staff = await site.join(Sender("u1", "staff", "ada"))
    planner, guest = await site.join(PLANNER), await site.join(GUEST)
    for socket in (staff, planner, guest):
        await until(socket, "live")
    config, told = site.services.config, nothing(AT)
    site.services.hub.ephemeral(draft(config, ROOM, OPS_STATUS.name, told))
    site.services.hub.ephemeral(draft(config, ROOM, "chat.guests", {"text": "all"}))
    assert {(await until(staff, "pub"))["kind"] for _ in range(2)} == {OPS_STATUS.name, "chat.guests"}
    for socket in (planner, guest):
        assert (await until(socket, "pub"))["kind"] == "chat.guests"
        assert await socket.receive_nothing()


@pytest.mark.django_db
def test_staff_come_in_and_nobody_else_even_if_a_wedding_were_called_like_it() -> None:
    domain, users = WeddingDomain(), get_user_model().objects
    staff, planner = users.create_user("staff", is_staff=True), users.create_user("planner")
    wedding = Wedding.objects.create(slug=OPS, names="x", venue="x", timezone="UTC", ceremony_at=AT)
    guest = Member.objects.create(wedding=wedding, name="Maya", role="guest")
    Member.objects.create(wedding=wedding, name="Sam", role="planner", user=planner)
    assert domain.member(OPS, staff, {}) is not None
    assert domain.member(OPS, planner, {}) is None
    assert domain.member(OPS, AnonymousUser(), {"members": {OPS: guest.join_key}}) is None
    assert domain.token(OPS, ApiToken.create(wedding, "till") if hasattr(ApiToken, "create") else "x") is None
    staff.is_active = False
    assert domain.member(OPS, staff, {}) is None


@pytest.mark.django_db
def test_no_wedding_takes_its_name() -> None:
    with pytest.raises(ValidationError, match="operators"):
        Wedding(slug=OPS, names="x", venue="x", timezone="UTC", ceremony_at=AT).full_clean()


@pytest.mark.django_db
def test_who_is_no_longer_staff_is_sent_away() -> None:
    domain, staff = WeddingDomain(), get_user_model().objects.create_user("staff", is_staff=True)
    assert f"u{staff.pk}" not in domain.revoked()
    staff.is_staff = False
    staff.save()
    assert f"u{staff.pk}" in domain.revoked()
    staff.is_staff = True
    staff.save()
    assert f"u{staff.pk}" not in domain.revoked()


def test_an_exported_cell_is_no_formula() -> None:
    assert str(cell("=1+1")).startswith("'") and cell({"a": 1}) == '{"a": 1}' and cell(AT) == AT.isoformat()
