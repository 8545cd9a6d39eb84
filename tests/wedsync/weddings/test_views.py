"""The pages without a browser: who gets in where, and that nobody's HTML holds what is not for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.test import Client

from realtime.journal import Journal
from realtime.messages import Sender
from tests.fakes import ManualClock
from tests.wedsync.weddings.test_domain import act
from wedsync.weddings.domain import domain
from wedsync.weddings.models import Member, RunSheetItem, Wedding

NOON = datetime(2027, 6, 12, 12, 0, tzinfo=UTC)


@pytest.fixture
def wedding(db: None) -> Wedding:
    made = Wedding.objects.create(slug="w", names="Ana & <b>Tom</b>", venue="Lake", timezone="Asia/Kolkata", ceremony_at=NOON)
    for n, (title, visibility) in enumerate([("Dinner", "everyone"), ("Load-in", "crew"), ("Fireworks", "planners")]):
        start = NOON + timedelta(minutes=n)
        RunSheetItem.objects.create(
            wedding=made, title=title, start=start, minutes=30, visibility=visibility, notes=f"note {title}", who=["DJ"]
        )
    return made


def member(wedding: Wedding, role: str, name: str = "Maya", **more: object) -> Member:
    return Member.objects.create(wedding=wedding, role=role, name=name, **more)


def joined(someone: Member) -> Client:
    client = Client()
    assert client.post(f"/join/{someone.join_key}/").status_code == 302
    return client


def text(response: HttpResponse) -> str:
    return response.content.decode()


# -- getting in -------------------------------------------------------------------------------------------------------


def test_a_stranger_is_asked_to_log_in_or_to_open_a_link(db: None) -> None:
    assert "open the join link" in text(Client().get("/"))


@pytest.mark.parametrize("slug", ["w", "there-is-none"])
def test_a_stranger_does_not_learn_which_weddings_exist(wedding: Wedding, slug: str) -> None:
    answer = Client().get(f"/weddings/{slug}/")
    assert (answer.status_code, answer["Location"]) == (302, f"/login/?next=/weddings/{slug}/")


@pytest.mark.parametrize("slug", ["w", "there-is-none"])
def test_an_account_without_membership_finds_nothing(wedding: Wedding, slug: str) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user("eve"))
    answer = client.get(f"/weddings/{slug}/")
    assert answer.status_code == 404
    assert "no wedding here that you may enter" in text(answer)
    assert "Dinner" not in text(answer)


def test_a_join_link_names_the_person_and_one_button_lets_them_in(wedding: Wedding) -> None:
    guest, client = member(wedding, "guest"), Client()
    page = text(client.get(f"/join/{guest.join_key}/"))
    assert "Maya" in page
    assert "Ana &amp; &lt;b&gt;Tom&lt;/b&gt;" in page
    assert client.get("/weddings/w/").status_code == 302, "looking at the link is not joining: chat programs fetch previews"
    answer = client.post(f"/join/{guest.join_key}/")
    assert (answer.status_code, answer["Location"]) == (302, "/weddings/w/")
    assert client.get("/weddings/w/").status_code == 200
    assert "Ana &amp;" in text(client.get("/"))


def test_joining_gives_the_session_a_new_id_and_keeps_the_other_wedding(wedding: Wedding) -> None:
    other = Wedding.objects.create(slug="x", names="C & D", venue="V", timezone="UTC", ceremony_at=NOON)
    client = joined(member(wedding, "guest"))
    before = client.cookies["sessionid"].value
    client.post(f"/join/{member(other, 'vendor').join_key}/")
    assert client.cookies["sessionid"].value != before
    assert client.get("/weddings/w/").status_code == client.get("/weddings/x/").status_code == 200


@pytest.mark.parametrize(("role", "is_staff"), [("planner", False), ("guest", False), ("", True)], ids=str)
def test_a_link_of_somebody_else_is_not_joined_by_who_is_logged_in(wedding: Wedding, role: str, is_staff: bool) -> None:
    guest, client = member(wedding, "guest"), Client()
    user = get_user_model().objects.create_user("sam", is_staff=is_staff)
    if role:
        member(wedding, role, "Sam", user=user)
    client.force_login(user)
    for answer in (client.get(f"/join/{guest.join_key}/"), client.post(f"/join/{guest.join_key}/")):
        page = text(answer)
        assert f"You are logged in as <strong>{'Sam' if role else 'sam'}</strong>" in page
        assert "You join as" not in page and "Log out to join as Maya" in page
    assert "members" not in client.session, "a page that was open before somebody logged in elsewhere"
    assert client.post("/logout/", {"next": f"/join/{guest.join_key}/"})["Location"] == f"/join/{guest.join_key}/"
    assert "You join as <strong>Maya</strong>" in text(client.get(f"/join/{guest.join_key}/"))


def test_who_is_logged_in_joins_by_their_own_link_and_where_the_account_is_nobody(wedding: Wedding) -> None:
    users = [get_user_model().objects.create_user(name) for name in ("maya", "eve")]
    for user, someone in zip(users, (member(wedding, "guest", user=users[0]), member(wedding, "guest", "Eve")), strict=True):
        client = Client()
        client.force_login(user)
        assert "You join as" in text(client.get(f"/join/{someone.join_key}/"))
        assert client.post(f"/join/{someone.join_key}/").status_code == 302
        assert f'<span class="who">{someone.name}, guest</span>' in text(client.get("/weddings/w/"))


def test_the_join_form_is_protected_against_other_sites(wedding: Wedding) -> None:
    client = Client(enforce_csrf_checks=True)
    assert client.post(f"/join/{member(wedding, 'guest').join_key}/").status_code == 403


def test_an_unknown_and_a_revoked_link_look_the_same(wedding: Wedding) -> None:
    revoked = member(wedding, "guest", revoked=True)
    for key in ("nonsense", revoked.join_key):
        for method in (Client().get, Client().post):
            answer = method(f"/join/{key}/")
            assert answer.status_code == 404
            assert "This join link does not work." in text(answer)
            assert "Ana" not in text(answer)


def test_somebody_revoked_is_out_at_the_next_request(wedding: Wedding) -> None:
    guest = member(wedding, "guest")
    client = joined(guest)
    Member.objects.filter(pk=guest.pk).update(revoked=True)
    assert client.get("/weddings/w/").status_code == 302
    assert "Ana" not in text(client.get("/"))


def test_staff_sees_every_wedding_and_a_planner_their_own(wedding: Wedding) -> None:
    Wedding.objects.create(slug="x", names="C & D", venue="V", timezone="UTC", ceremony_at=NOON)
    planner, staff = Client(), Client()
    user = get_user_model().objects.create_user("sam")
    member(wedding, "planner", user=user)
    planner.force_login(user)
    staff.force_login(get_user_model().objects.create_user("op", is_staff=True))
    assert ("/weddings/w/" in text(planner.get("/")), "/weddings/x/" in text(planner.get("/"))) == (True, False)
    assert ("/weddings/w/" in text(staff.get("/")), "/weddings/x/" in text(staff.get("/"))) == (True, True)


def test_logging_in_leads_on_and_logging_out_needs_a_post(wedding: Wedding) -> None:
    member(wedding, "planner", user=get_user_model().objects.create_user("sam", password="long enough"))
    client = Client()
    assert "do not belong together" in text(client.post("/login/", {"username": "sam", "password": "wrong"}))
    answer = client.post("/login/", {"username": "sam", "password": "long enough", "next": "/weddings/w/"})
    assert answer["Location"] == "/weddings/w/"
    evil = Client().post("/login/", {"username": "sam", "password": "long enough", "next": "https://evil.example/"})
    assert evil["Location"] == "/"
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/").status_code == 302
    assert client.get("/weddings/w/").status_code == 302


def test_where_nobody_is_logged_in_the_page_says_so_and_every_page_looks_after_what_the_device_keeps(wedding: Wedding) -> None:
    planner, nobody = Client(), Client()
    planner.force_login(user := get_user_model().objects.create_user("sam"))
    member(wedding, "planner", user=user)
    guest = joined(invited := member(wedding, "guest"))
    link = f"/join/{invited.join_key}/"
    assert ["data-nobody" in text(nobody.get(path)) for path in ("/", "/login/", link)] == [True, True, True]
    for path in ("/", link):
        assert ["data-nobody" in text(client.get(path)) for client in (planner, guest)] == [False, False]
    assert "data-nobody" not in text(guest.get("/login/")), "a guest has a session, without an account"
    for path in ("/", "/weddings/w/", "/weddings/none/"):
        assert "weddings/account.js" in text(planner.get(path))


# -- what a page holds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "seen", "hidden"),
    [
        ("planner", ["Dinner", "Load-in", "Fireworks", "note Dinner"], []),
        ("couple", ["Dinner", "Load-in", "Fireworks"], []),
        ("vendor", ["Dinner", "Load-in", "note Load-in"], ["Fireworks"]),
        ("guest", ["Dinner"], ["Load-in", "Fireworks", "note", "DJ"]),
        ("display", ["Dinner"], ["Load-in", "Fireworks", "note", "DJ"]),
    ],
)
def test_the_page_shows_a_role_its_items_and_no_others(wedding: Wedding, role: str, seen: list[str], hidden: list[str]) -> None:
    page = text(joined(member(wedding, role)).get("/weddings/w/"))
    assert [word for word in seen if word not in page] == []
    assert [word for word in hidden if word in page] == []
    assert ('data-act="timeline.shift"' in page) == (role == "planner")
    assert ("chat.crew" in page) == (role not in ("guest", "display"))
    assert ('<form class="say"' in page) == (role != "display")


def test_what_was_said_to_the_crew_is_not_in_a_guests_page(wedding: Wedding) -> None:
    writer = Journal(domain, ManualClock())
    crew = Sender("m1", "planner", "Sam")
    act(writer, "chat.crew", {"text": "the cake fell"}, crew)
    act(writer, "chat.guests", {"text": "</script><script>alert(1)</script>"}, crew)
    guest = text(joined(member(wedding, "guest")).get("/weddings/w/"))
    vendor = text(joined(member(wedding, "vendor")).get("/weddings/w/"))
    assert ("the cake fell" in guest, "the cake fell" in vendor) == (False, True)
    assert "<script>alert" not in guest
    assert r"\u003Cscript\u003Ealert" in guest


def test_times_are_those_of_the_venue(wedding: Wedding) -> None:
    page = text(joined(member(wedding, "guest")).get("/weddings/w/"))
    assert ">17:30</time>" in page
    assert "Kolkata time" in page
    assert "Saturday 12 June 2027" in page


def test_an_alarm_is_on_the_page_until_the_all_clear(wedding: Wedding) -> None:
    writer, crew = Journal(domain, ManualClock()), Sender("m1", "planner", "Sam")
    client = joined(member(wedding, "guest"))
    act(writer, "emergency.alert", {"alert": "a", "category": "fire", "text": "To the <lake>"}, crew)
    assert ">To the &lt;lake&gt;</span>" in text(client.get("/weddings/w/"))
    act(writer, "emergency.alert", {"alert": "a", "category": "fire", "text": "All good", "state": "all_clear"}, crew)
    assert 'class="alert"' not in text(client.get("/weddings/w/"))
    act(writer, "emergency.alert", {"alert": "b", "category": "weather_shelter", "text": "Come in"}, crew)
    assert "<strong>Weather shelter</strong>" in text(client.get("/weddings/w/"))


@pytest.mark.parametrize("path", ["/", "/login/", "/join/nonsense/", "/weddings/w/"])
def test_every_page_says_what_it_may_load_and_is_not_kept(wedding: Wedding, path: str) -> None:
    answer = joined(member(wedding, "guest")).get(path)
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "no-store" in answer["Cache-Control"]
    assert " style=" not in text(answer)
    assert " onclick" not in text(answer)


# -- the board --------------------------------------------------------------------------------------------------------


def test_a_preview_is_for_those_who_plan(wedding: Wedding) -> None:
    item = RunSheetItem.objects.get(title="Dinner").pk
    planner = joined(member(wedding, "planner", "Sam"))
    asked = f"/weddings/w/preview/?item={item}&minutes=10"
    assert [move["item"] for move in planner.get(asked).json()["moves"]] == [item]
    assert RunSheetItem.objects.get(pk=item).start == NOON
    assert "no such item" in planner.get("/weddings/w/preview/?item=99999&minutes=10").json()["error"]
    statuses = [planner.get(f"/weddings/w/preview/?{query}").status_code for query in ("item=99999&minutes=1", "item=x", "")]
    assert statuses == [409, 422, 422]
    for minutes in ("2000", "-1441", "7.5", "soon", ""):
        said = planner.get(f"/weddings/w/preview/?item={item}&minutes={minutes}").json()["error"]
        assert said == "Choose an item, and whole minutes: at most 1,440, which is a day."
    for role in ("couple", "vendor", "guest", "display"):
        assert joined(member(wedding, role, role)).get(asked).status_code == 403
    assert Client().get(asked).status_code == 403


def test_the_board_names_the_vendors_and_what_they_said_last(wedding: Wedding) -> None:
    writer = Journal(domain, ManualClock())
    dj = member(wedding, "vendor", "Dee", title="DJ")
    member(wedding, "vendor", "Flo", title="florist")
    status = {"vendor": "DJ", "status": "delayed", "delay_minutes": 20, "reason": "<traffic>"}
    act(writer, "vendor.status", status, Sender(dj.public_id, "vendor", "Dee"))
    board = text(joined(member(wedding, "planner", "Sam")).get("/weddings/w/"))
    assert "Late 20 min" in board and "&lt;traffic&gt;" in board
    assert "florist" in board and '"people": [{"member"' in board
    assert "said by" not in board, "there is one DJ"
    member(wedding, "vendor", "Dan", title="DJ")
    assert "said by Dee" in text(joined(member(wedding, "planner", "Sam")).get("/weddings/w/"))
    guest = text(joined(member(wedding, "guest")).get("/weddings/w/"))
    assert "traffic" not in guest and "florist" not in guest and '"people": []' in guest


def test_the_door_counts_parties_and_is_not_for_the_couple(wedding: Wedding) -> None:
    writer, sam = Journal(domain, ManualClock()), Sender("m1", "planner", "Sam")
    Wedding.objects.update(invited_guests=115)
    for guest, party, arrived in (("a", 2, True), ("b", 5, True), ("b", 0, False), ("c", 1, True)):
        act(writer, "guest.checkin", {"guest": guest, "party": party, "arrived": arrived}, sam)
    assert 'data-testid="inside">3</strong> in, <span data-testid="expected">115<' in text(
        joined(member(wedding, "planner", "Sam")).get("/weddings/w/")
    )
    assert 'data-testid="inside"' not in text(joined(member(wedding, "couple", "Ana")).get("/weddings/w/"))


def test_what_i_have_seen_is_on_my_page_and_on_nobody_elses(wedding: Wedding) -> None:
    writer, maya = Journal(domain, ManualClock()), member(wedding, "guest")
    act(writer, "seen", {"about": "emergency a1"}, Sender(maya.public_id, "guest", "Maya"))
    assert '"seen": ["emergency a1"]' in text(joined(maya).get("/weddings/w/"))
    assert "emergency a1" not in text(joined(member(wedding, "guest", "Jonas")).get("/weddings/w/"))
    assert "emergency a1" in text(joined(member(wedding, "planner", "Sam")).get("/weddings/w/")), "planners see who has seen it"


def test_changes_of_the_plan_are_for_those_who_may_see_them(wedding: Wedding) -> None:
    writer, sam = Journal(domain, ManualClock()), Sender("m1", "planner", "Sam")
    for title in ("Dinner", "Fireworks"):
        item = RunSheetItem.objects.get(title=title).pk
        act(writer, "timeline.shift", {"item": item, "minutes": 5, "reason": f"because {title}"}, sam)
    pages = {role: text(joined(member(wedding, role, role)).get("/weddings/w/")) for role in ("planner", "vendor", "guest")}
    assert {role: ("because Dinner" in page, "because Fireworks" in page) for role, page in pages.items()} == {
        "planner": (True, True),
        "vendor": (True, False),
        "guest": (False, False),
    }


def test_an_old_form_is_answered_with_a_page_that_helps(db: None) -> None:
    answer = Client(enforce_csrf_checks=True).post("/login/", {"username": "sam", "password": "x"})
    assert answer.status_code == 403
    assert "open for too long" in text(answer)


def test_the_worker_that_keeps_pages_rules_all_weddings() -> None:
    answer = Client().get("/worker.js")
    assert answer["Content-Type"] == "text/javascript"
    assert "connect-src 'self'" in answer["Content-Security-Policy"]
    assert b"caches" in b"".join(answer.streaming_content)  # type: ignore[attr-defined]
