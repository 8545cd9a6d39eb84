"""Access that was withdrawn, by whatever way: nothing of it is known to the process alone, and strangers are not touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core import serializers
from django.test import Client

from realtime.bootstrap import services
from realtime.credentials import login_of
from realtime.messages import Sender
from realtime.revoked import withdrawn
from realtime.routing import router
from realtime.services import Services
from wedsync.weddings.domain import domain
from wedsync.weddings.models import ApiToken, Member, Wedding, Withdrawn
from wedsync.weddings.revocation import revoked

pytestmark = pytest.mark.django_db
NOON = datetime(2027, 6, 12, 12, 0, tzinfo=UTC)


def planner() -> Member:
    room = Wedding.objects.create(slug="w", names="A & B", venue="V", timezone="Europe/London", ceremony_at=NOON)
    return Member.objects.create(wedding=room, name="Sam", role="planner")


def good(member: Member, role: str) -> bool:
    """Whether a ticket that says this is good."""
    return not withdrawn(Sender(member.public_id, role), "", revoked())


def demoted(user: Any) -> None:
    user.is_staff = False
    user.save()


LOST: list[tuple[str, Callable[[Any], object]]] = [
    ("no longer staff", demoted),
    ("no longer staff, in bulk", lambda user: type(user).objects.update(is_staff=False)),
    ("deactivated", lambda user: type(user).objects.update(is_active=False)),
    ("deleted", lambda user: user.delete()),
]


@pytest.mark.parametrize("lose", [lost[1] for lost in LOST], ids=[lost[0] for lost in LOST])
def test_former_staff_are_known_to_a_process_that_never_met_them(lose: Callable[[Any], object]) -> None:
    user = get_user_model().objects.create_user("ada", is_staff=True)
    staff = Sender(f"u{user.pk}", "staff", "ada")
    assert not withdrawn(staff, "", revoked())
    lose(user)
    assert withdrawn(staff, "", revoked())


@pytest.mark.parametrize("lose", [lambda row: row.delete(), lambda row: type(row).objects.update(revoked_at=NOON)])
def test_a_program_whose_token_is_revoked_or_gone_is_known(lose: Callable[[Any], object]) -> None:
    row = ApiToken(wedding=planner().wedding, name="till")
    row.save_new()
    program = (f"a{row.pk}", "staff")
    assert program not in revoked()
    lose(row)
    assert program in revoked()


@pytest.mark.parametrize(
    "member",
    [Sender("rose-1", "guest"), Sender("m999", "planner"), Sender("t1f", "staff"), Sender("usher", "vendor"), Sender("u", "")],
)
def test_who_is_in_no_table_is_welcome(member: Sender) -> None:
    planner()
    assert not withdrawn(member, "", revoked())


def test_a_member_in_another_role_is_no_longer_what_it_was_and_may_become_it_again() -> None:
    member = planner()
    for role in ("guest", "vendor"):
        member.role = role
        member.save()
        assert good(member, role) and not good(member, "planner")
    assert not good(member, "guest")
    member.role = "planner"
    member.save(update_fields=["role"])
    assert good(member, "planner") and not good(member, "guest") and not good(member, "vendor")
    member.role = "guest"
    member.save(update_fields=["name"])
    assert good(member, "planner"), "the role was not stored"


DELETED: list[tuple[str, Callable[[Member], object]]] = [
    ("by itself", lambda member: member.delete()),
    ("in bulk", lambda member: Member.objects.all().delete()),
    ("with its wedding", lambda member: member.wedding.delete()),
]


@pytest.mark.parametrize("delete", [way[1] for way in DELETED], ids=[way[0] for way in DELETED])
def test_a_deleted_member_is_out(delete: Callable[[Member], object]) -> None:
    member = planner()
    ticket = Sender(member.public_id, "planner", "Sam")
    assert not withdrawn(ticket, "", revoked())
    delete(member)
    assert withdrawn(ticket, "", revoked())


def test_in_the_admin_a_member_is_deleted_and_stays_with_its_wedding(admin_client: Client) -> None:
    member = planner()
    page = admin_client.get(f"/admin/weddings/member/{member.pk}/change/").content.decode()
    assert 'name="wedding"' not in page, "a ticket would go on being good for the old one"
    data = {"action": "delete_selected", "_selected_action": [member.pk], "post": "yes"}
    assert admin_client.post("/admin/weddings/member/", data).status_code == 302
    assert not Member.objects.exists() and not good(Member(pk=member.pk), "planner")


def test_a_member_whose_account_was_deactivated_is_out_whatever_way_it_comes(client: Client) -> None:
    member = planner()
    member.user = get_user_model().objects.create_user("sam")
    member.save()
    assert good(member, "planner") and client.post(f"/join/{member.join_key}/").status_code == 302
    assert client.get("/weddings/w/").status_code == 200
    get_user_model().objects.update(is_active=False)
    assert not good(member, "planner")
    assert client.get("/weddings/w/").status_code == 302
    assert client.post(f"/join/{member.join_key}/").status_code == 404


def test_what_no_ticket_can_speak_of_any_more_is_forgotten() -> None:
    member = planner()
    Withdrawn.objects.create(member=member.pk, role="guest", at=datetime.now(UTC) - Withdrawn.KEPT - timedelta(seconds=1))
    Withdrawn.objects.create(member=member.pk, role="vendor", at=datetime.now(UTC) - Withdrawn.KEPT + timedelta(minutes=1))
    assert good(member, "guest") and not good(member, "vendor")
    member.delete()
    assert sorted(Withdrawn.objects.values_list("role", flat=True)) == ["planner", "vendor"]


def test_nothing_new_is_equal_to_the_last_answer() -> None:
    member = planner()
    get_user_model().objects.create_user("ada", is_staff=True)
    before = revoked()
    assert revoked() == before
    member.delete()
    assert revoked() != before


def test_a_member_that_was_deleted_by_mistake_is_welcome_again_when_it_was_restored() -> None:
    member = planner()
    kept = serializers.serialize("json", Member.objects.all())
    member.delete()
    assert withdrawn(Sender(f"m{json.loads(kept)[0]['pk']}", "planner"), "", revoked())
    for restored in serializers.deserialize("json", kept):
        restored.save()
    assert good(Member.objects.get(), "planner")


def test_a_wedding_with_many_guests_is_deleted_in_a_few_statements(django_assert_max_num_queries: Any) -> None:
    wedding = planner().wedding
    Member.objects.bulk_create([Member(wedding=wedding, name=f"g{n}", role="guest") for n in range(300)])
    gone = [Sender(member.public_id, member.role) for member in Member.objects.all()]
    with django_assert_max_num_queries(40):
        wedding.delete()
    assert all(withdrawn(member, "", revoked()) for member in gone)


def test_a_login_is_over_when_it_is_logged_out_of_and_no_other_of_the_same_person(client: Client) -> None:
    member = planner()
    member.user = get_user_model().objects.create_user("sam", password="long enough")
    member.save()
    other = Client()
    for device in (client, other):
        device.post("/login/", {"username": "sam", "password": "long enough"})
    mine, theirs = client.session["login"], other.session["login"]
    client.post(f"/join/{member.join_key}/")
    assert client.session["login"] == mine, "under another key of the session"
    me = Sender(member.public_id, "planner")
    assert not withdrawn(me, mine, revoked())
    client.post("/logout/")
    assert [withdrawn(me, login, revoked()) for login in (mine, theirs, "")] == [True, False, False]
    client.post("/logout/")
    assert Withdrawn.objects.count() == 1


@pytest.mark.parametrize(("name", "over"), [("ada", False), ("bob", True)], ids=["the same person", "another account"])
def test_a_login_over_another_keeps_its_name_when_it_is_the_same_persons_and_else_ends_it(
    client: Client, name: str, over: bool
) -> None:
    people = {who: get_user_model().objects.create_user(who, password="long enough", is_staff=True) for who in ("ada", "bob")}
    client.post("/login/", {"username": "ada", "password": "long enough"})
    ada, first = Sender(f"u{people['ada'].pk}", "staff"), client.session["login"]
    assert client.post("/admin/login/", {"username": name, "password": "long enough"}).status_code == 302
    assert withdrawn(ada, first, revoked()) == over
    assert not withdrawn(Sender(f"u{people[name].pk}", "staff"), client.session["login"], revoked())
    client.post("/admin/logout/")
    assert withdrawn(ada, first, revoked())


def own_page(user: Any, device: Client) -> None:
    new = {"old_password": "long enough", "new_password1": "other enough", "new_password2": "other enough"}
    assert device.post("/admin/password_change/", new).status_code == 302


def staffs_page(user: Any, device: Client) -> None:
    boss = Client()
    boss.force_login(get_user_model().objects.create_superuser("boss"))
    new = {"password1": "other enough", "password2": "other enough", "usable_password": "true"}
    assert boss.post(f"/admin/auth/user/{user.pk}/password/", new).status_code == 302


def program(user: Any, device: Client) -> None:
    user.set_password("other enough")
    user.save()


def other_fields(user: Any, device: Client) -> None:
    user.first_name = "Ada"
    user.save()
    user.save(update_fields=["last_login"])


def test_what_came_in_by_a_join_link_is_out_when_there_is_another_one(admin_client: Client) -> None:
    member, (phone, guest, account) = planner(), (Client(), Client(), Client())
    sam, ada, bob = Sender(member.public_id, "planner", "Sam"), *map(get_user_model().objects.create_user, ("ada", "bob"))
    Member.objects.filter(pk=member.pk).update(user=bob)
    guest.force_login(ada), account.force_login(bob)
    devices = [(phone, AnonymousUser()), (guest, ada), (account, bob)]
    for device, user in devices:
        assert device.post(f"/join/{member.join_key}/").status_code == 302
        assert domain.member("w", user, device.session) == sam and domain.link("another", user, device.session) == ""
    by_link, by_link_too, by_account = (domain.link("w", user, device.session) for device, user in devices)
    assert by_link == by_link_too != "" == by_account and member.join_key not in by_link
    assert not withdrawn(sam, f"s:login p:password {by_link}", revoked())
    admin_client.post("/admin/weddings/member/", {"action": "renew", "_selected_action": [member.pk]})
    assert withdrawn(sam, by_link, revoked()), "also what is open, and the tickets that it would come back with"
    assert withdrawn(sam, f"s:login p:password {by_link}", revoked()) and not withdrawn(sam, "", revoked())
    assert domain.link("w", bob, account.session) == "", "who is here by account stays"
    member.refresh_from_db()
    assert phone.post(f"/join/{member.join_key}/").status_code == 302
    again = domain.link("w", AnonymousUser(), phone.session)
    assert again and not withdrawn(sam, again, revoked())


PASSWORD = [(own_page, True, True), (staffs_page, True, False), (program, True, False), (other_fields, False, True)]


@pytest.mark.parametrize(("change", "over", "stays"), PASSWORD, ids=[change.__name__ for change, _, _ in PASSWORD])
def test_what_came_in_by_a_password_is_out_when_it_is_another_one(change: Any, over: bool, stays: bool, client: Client) -> None:
    user = get_user_model().objects.create_user("ada", password="long enough", is_staff=True)
    stranger = get_user_model().objects.create_user("bob", password="long enough", is_staff=True)
    ada, devices = Sender(f"u{user.pk}", "staff"), [client, Client(), Client()]
    for device, name in zip(devices, ("ada", "ada", "bob"), strict=True):
        device.post("/login/", {"username": name, "password": "long enough"})
    mine, theirs, other = (login_of(device.session) for device in devices)
    change(user, client)
    assert [withdrawn(ada, login, revoked()) for login in (mine, theirs)] == [over, over]
    assert not withdrawn(Sender(f"u{stranger.pk}", "staff"), other, revoked())
    assert (client.get("/admin/").status_code == 200) == stays
    if stays:
        assert not withdrawn(ada, login_of(client.session), revoked()), "comes in anew by the same session"
        client.post("/logout/")
        assert withdrawn(ada, mine, revoked())


async def told(parts: Services, device: Client, resume: str = "") -> tuple[WebsocketCommunicator, str]:
    """A connection with a session, or a ticket that came from it; and the next ticket, "" for one that is not let in."""
    cookie = device.cookies["sessionid"].value
    headers = [(b"host", b"h"), (b"origin", b"https://h"), (b"cookie", f"sessionid={cookie}".encode())]
    offered = ["wedsync.v1", f"ticket.{resume}"] if resume else None
    socket = WebsocketCommunicator(router(parts), "/ws/weddings/w/", headers=headers, subprotocols=offered)
    accepted = (await socket.connect())[0]
    return socket, json.loads(await socket.receive_from())["resume"] if accepted else ""


async def closed(socket: WebsocketCommunicator) -> int:
    """The code with which it is ended."""
    while (message := await socket.receive_output())["type"] != "websocket.close":
        pass
    return int(message["code"])


@pytest.mark.django_db(transaction=True)
async def test_a_new_join_link_ends_the_connections_by_the_old_one_and_voids_their_tickets(admin_client: Client) -> None:
    member, phone = await sync_to_async(planner)(), Client()
    services.cache_clear()
    parts = services()
    await sync_to_async(phone.post)(f"/join/{member.join_key}/")
    here, ticket = await told(parts, phone)
    again, ticket = await told(parts, phone, ticket)
    form = {"action": "renew", "_selected_action": [member.pk]}
    await sync_to_async(admin_client.post)("/admin/weddings/member/", form)
    parts.hub.expel(await sync_to_async(revoked)())
    assert [await closed(socket) for socket in (here, again)] == [4401, 4401]
    assert [(await told(parts, phone, by))[1] for by in (ticket, "")] == ["", ""]
    await sync_to_async(member.refresh_from_db)()
    await sync_to_async(phone.post)(f"/join/{member.join_key}/")
    back, ticket = await told(parts, phone)
    assert ticket
    await back.disconnect()
    await parts.stop()
    services.cache_clear()


@pytest.mark.django_db(transaction=True)
async def test_logging_out_ends_the_connections_of_that_login_and_voids_what_would_bring_them_back() -> None:
    devices = [Client(), Client()]
    user = await sync_to_async(get_user_model().objects.create_user)("ada", is_staff=True)
    await sync_to_async(planner)()
    services.cache_clear()
    parts = services()

    for device in devices:
        await sync_to_async(device.force_login)(user)
    (mine, ticket), (theirs, other) = [await told(parts, device) for device in devices]
    (again, ticket) = await told(parts, devices[0], ticket)
    await sync_to_async(devices[0].post)("/logout/")
    parts.hub.expel(await sync_to_async(revoked)())
    assert [await closed(socket) for socket in (mine, again)] == [4401, 4401]
    devices[0].cookies["sessionid"] = "gone"
    assert (await told(parts, devices[0], ticket))[1] == "", "also a ticket that came by a ticket"
    stays, _ = await told(parts, devices[1], other)
    for socket in (theirs, stays):
        await socket.disconnect()
    await parts.stop()
    services.cache_clear()
