"""The admin pages of the weddings."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.utils.html import escape

from realtime.kinds import KINDS, Shift
from realtime.messages import Sender
from realtime.policy.limits import body_limit
from wedsync.weddings.comparing import runsheet_changes
from wedsync.weddings.demo import place
from wedsync.weddings.domain import domain
from wedsync.weddings.models import ApiToken, Member, RunSheetItem, Wedding
from wedsync.weddings.runsheets import load, read
from wedsync.weddings.tables import BYTES_MAX, decode

pytestmark = pytest.mark.django_db
NOON = datetime(2027, 7, 3, 12, 0, tzinfo=UTC)


@pytest.fixture
def admin() -> Client:
    place(NOON)
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    return client


@pytest.mark.parametrize("model", [Wedding, Member, RunSheetItem, ApiToken], ids=lambda model: model.__name__)
def test_lists_searches_and_forms_open(admin: Client, model: type[Wedding]) -> None:
    name = model.__name__.lower()
    row = model.objects.all()[0]
    pages = [f"/admin/weddings/{name}/{page}" for page in ("", "?q=rose", "add/", f"{row.pk}/change/")]
    assert [admin.get(page).status_code for page in pages] == [200] * 4


def test_a_planner_without_staff_rights_stays_outside(admin: Client) -> None:
    admin.force_login(get_user_model().objects.get(username="planner"))
    assert admin.get("/admin/weddings/wedding/").status_code == 302


def test_a_token_is_shown_once_and_revoked(admin: Client) -> None:
    wedding = Wedding.objects.get(slug="rose-garden")
    page = admin.post("/admin/weddings/apitoken/add/", {"wedding": wedding.pk, "name": "till"}, follow=True)
    said = next(str(message) for message in page.context["messages"] if "only this once" in str(message))
    token = said.rpartition(" ")[2]
    assert domain.token("rose-garden", token) is not None
    row = ApiToken.objects.get(name="till")
    admin.post("/admin/weddings/apitoken/", {"action": "revoke", "_selected_action": [row.pk]})
    assert domain.token("rose-garden", token) is None


def test_an_edited_item_is_a_new_version(admin: Client) -> None:
    item = RunSheetItem.objects.get(title="Ceremony", wedding__slug="rose-garden")
    form = {
        "wedding": item.wedding_id, "title": item.title, "start_0": "2027-07-03", "start_1": "13:35:00", "minutes": 35,
        "where": item.where, "who": '["officiant"]', "kind": item.kind, "depends_on": str(item.depends_on),
        "notes": item.notes, "status": item.status, "visibility": item.visibility,
    }  # fmt: skip
    assert admin.post(f"/admin/weddings/runsheetitem/{item.pk}/change/", form).status_code == 302
    item.refresh_from_db()
    assert (item.minutes, item.who, item.version) == (35, ["officiant"], 2)


class Fields(HTMLParser):
    """What a browser sends back of a page when nothing is typed."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "input" and (given.get("type") != "checkbox" or "checked" in given) and given.get("type") != "submit":
            self.sent[given.get("name", "")] = given.get("value", "")
        elif tag in ("select", "textarea"):
            self.inside = given.get("name", "")
            self.sent[self.inside] = ""
        elif tag == "option" and "selected" in given:
            self.sent[self.inside] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self.inside = "" if tag in ("select", "textarea") else self.inside

    def handle_data(self, data: str) -> None:
        if self.inside and self.lasttag == "textarea":
            self.sent[self.inside] += data.removeprefix("\n") if not self.sent[self.inside] else data


def opened(admin: Client, url: str) -> dict[str, str]:
    """The form at `url` as a browser sends it back."""
    fields = Fields()
    fields.feed(admin.get(url).content.decode())
    return {name: value for name, value in fields.sent.items() if name and not name.startswith("_")}


def ceremony() -> RunSheetItem:
    return RunSheetItem.objects.get(title="Ceremony", wedding__slug="rose-garden")


def move(minutes: int) -> None:
    """What a planner does on the live page."""
    domain.act("rose-garden", KINDS["timeline.shift"], Shift(ceremony().pk, minutes), Sender("m1", "planner", "Sam"))


def test_a_form_that_stood_open_changes_only_what_was_typed_in_it(admin: Client) -> None:
    before = ceremony()
    url = f"/admin/weddings/runsheetitem/{before.pk}/change/"
    form = opened(admin, url)
    move(20)
    RunSheetItem.objects.filter(pk=before.pk).update(status="in_progress")
    assert admin.post(url, form | {"notes": "new"}).status_code == 302
    after = ceremony()
    assert (after.notes, after.start, after.status) == ("new", before.start + timedelta(minutes=20), "in_progress")
    assert after.version == before.version + 2


def test_what_was_changed_here_and_elsewhere_is_refused(admin: Client) -> None:
    before = ceremony()
    url = f"/admin/weddings/runsheetitem/{before.pk}/change/"
    form = opened(admin, url)
    move(20)
    answer = admin.post(url, form | {"start_1": "11:11:00", "notes": "new"})
    assert answer.status_code == 200 and "changed by somebody else meanwhile" in answer.content.decode()
    assert (ceremony().notes, ceremony().start) == (before.notes, before.start + timedelta(minutes=20))


@pytest.mark.parametrize("field", ["who", "depends_on", "shown"])
@pytest.mark.parametrize("typed", [r'["\ud83d"]', r'["a\u0000b"]'])
def test_half_a_sign_is_refused_and_shown_as_it_was_typed(admin: Client, field: str, typed: str) -> None:
    before, url = ceremony(), f"/admin/weddings/runsheetitem/{ceremony().pk}/change/"
    answer = admin.post(url, opened(admin, url) | {field: typed, "minutes": "0"})
    text = answer.content.decode()
    assert answer.status_code == 200 and escape(typed) in text
    assert ("Names without" in text) == (field == "who")
    assert (ceremony().who, ceremony().version) == (before.who, before.version)


@pytest.mark.parametrize("field", ["who", "depends_on", "shown"])
@pytest.mark.parametrize("typed", ["[" * 100_000, f"[{'9' * 5_000}]"], ids=["too deep", "too long"])
def test_what_no_program_can_read_is_refused(admin: Client, field: str, typed: str) -> None:
    url = f"/admin/weddings/runsheetitem/{ceremony().pk}/change/"
    answer = admin.post(url, opened(admin, url) | {field: typed})
    assert answer.status_code == 200 and b"Enter a valid JSON." in answer.content


def test_who_may_only_look_sees_no_form(admin: Client) -> None:
    reader = get_user_model().objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_runsheetitem"))
    admin.force_login(reader)
    page = admin.get(f"/admin/weddings/runsheetitem/{ceremony().pk}/change/")
    assert page.status_code == 200 and "shown" not in page.context["adminform"].readonly_fields


def test_forms_show_and_take_the_time_at_the_venue(admin: Client) -> None:
    item = ceremony()
    url = f"/admin/weddings/runsheetitem/{item.pk}/change/"
    assert "At the venue, Europe/London." in admin.get(url).content.decode()
    form = opened(admin, url)
    assert form["start_1"] == "14:35"
    assert admin.post(url, form | {"start_1": "14:40:00"}).status_code == 302
    assert ceremony().start == item.start + timedelta(minutes=5)
    del form["shown"]
    url = "/admin/weddings/runsheetitem/add/"
    assert "At the venue, by its clocks." in admin.get(url).content.decode()
    new = form | {"wedding": item.wedding_id, "title": "Sparklers", "visibility": "crew"}
    assert admin.post(url, new).status_code == 302
    assert RunSheetItem.objects.get(title="Sparklers").start == item.start


def test_the_ceremony_is_told_and_taken_by_the_clocks_of_the_zone_in_the_form(admin: Client) -> None:
    wedding = Wedding.objects.get(slug="harbour-loft")
    url = f"/admin/weddings/wedding/{wedding.pk}/change/"
    form = opened(admin, url)
    assert (form["ceremony_at_0"], form["ceremony_at_1"]) == ("2027-07-03", "17:00")
    assert admin.post(url, form).status_code == 302
    assert Wedding.objects.get(slug="harbour-loft").ceremony_at == wedding.ceremony_at
    new = form | {"slug": "barn", "timezone": "America/Denver", "ceremony_at_1": "14:30"}
    assert admin.post("/admin/weddings/wedding/add/", new).status_code == 302
    assert Wedding.objects.get(slug="barn").ceremony_at == datetime(2027, 7, 3, 20, 30, tzinfo=UTC)
    answer = admin.post(url, form | {"ceremony_at_0": "2027-03-14", "ceremony_at_1": "02:30"})
    assert "02:30 does not exist on 2027-03-14 in America/New_York" in answer.content.decode(), "the clocks went forward"
    assert admin.post(url, form | {"timezone": "Mars"}).status_code == 200


def test_a_wedding_that_is_moved_says_that_its_run_sheet_stays_and_the_sheet_can_be_edited_all_the_same(admin: Client) -> None:
    item = ceremony()
    url = f"/admin/weddings/wedding/{item.wedding_id}/change/"
    form = opened(admin, url)
    same = admin.post(url, form | {"venue": "Elsewhere"}, follow=True)
    assert "Run sheets stay where they are" not in same.content.decode()
    moved = admin.post(url, form | {"ceremony_at_0": "2027-09-04"}, follow=True)
    assert "Run sheets stay where they are, import them again: rose-garden." in moved.content.decode()
    url = f"/admin/weddings/runsheetitem/{item.pk}/change/"
    form = opened(admin, url)
    assert admin.post(url, form | {"notes": "Umbrellas"}).status_code == 302 and ceremony().notes == "Umbrellas"
    wrong = admin.post(url, form | {"start_0": "2027-07-04"})
    assert wrong.status_code == 200 and "not within 14 days of the wedding on 2027-09-04" in wrong.content.decode()


@pytest.mark.parametrize("n_weddings", [1_200])
def test_all_weddings_of_a_wrong_calendar_are_deleted_together(admin: Client, n_weddings: int) -> None:
    at = datetime(2027, 6, 12, 12, tzinfo=UTC)
    made = [Wedding(slug=f"big-{n}", names="A & B", venue="V", timezone="UTC", ceremony_at=at) for n in range(n_weddings)]
    Wedding.objects.bulk_create(made)
    chosen = Wedding.objects.filter(slug__startswith="big-").values_list("pk", flat=True)
    act = {"action": "delete_selected", "_selected_action": list(chosen), "post": "yes"}
    assert admin.post("/admin/weddings/wedding/?q=big-", act).status_code == 302
    assert not Wedding.objects.filter(slug__startswith="big-").exists()


def test_a_pasted_table_that_is_too_large_has_a_sentence(admin: Client) -> None:
    page = admin.post("/admin/weddings/wedding/import-calendar/", {"table": "x" * 2_700_000})
    assert page.status_code == 200 and "at most 2000000 characters" in page.content.decode()


def test_the_link_that_types_the_present_time_means_its_minute(admin: Client) -> None:
    wedding, item = Wedding.objects.get(slug="rose-garden"), ceremony()
    for path, field in ((f"wedding/{wedding.pk}", "ceremony_at_1"), (f"runsheetitem/{item.pk}", "start_1")):
        url = f"/admin/weddings/{path}/change/"
        assert admin.post(url, opened(admin, url) | {field: "14:47:59"}).status_code == 302
        assert opened(admin, url)[field] == "14:47"
        assert "is not a time such as 14:30" in admin.post(url, opened(admin, url) | {field: "14:47:60"}).content.decode()
    assert {Wedding.objects.get(slug="rose-garden").ceremony_at.second, ceremony().start.second} == {0}


@pytest.mark.parametrize(("hour", "shown"), [(0, "01:30"), (1, "01:30+00:00")], ids=["first", "second"])
def test_an_item_in_the_hour_that_exists_twice_is_edited_like_any_other(admin: Client, hour: int, shown: str) -> None:
    start = datetime(2027, 10, 31, hour, 30, tzinfo=UTC)
    Wedding.objects.filter(slug="rose-garden").update(ceremony_at=start)
    RunSheetItem.objects.filter(pk=ceremony().pk).update(start=start)
    url = f"/admin/weddings/runsheetitem/{ceremony().pk}/change/"
    form = opened(admin, url)
    assert (form["start_0"], form["start_1"]) == ("2027-10-31", shown)
    assert admin.post(url, form | {"notes": "the band stays"}).status_code == 302
    assert (ceremony().notes, ceremony().start) == ("the band stays", start)
    for typed, moved in (("01:45", timedelta()), ("1:45 AM +00:00", timedelta(hours=1)), ("01:45+01:00", timedelta())):
        assert admin.post(url, opened(admin, url) | {"start_1": typed}).status_code == 302
        assert ceremony().start == datetime(2027, 10, 31, 0, 45, tzinfo=UTC) + moved


@pytest.mark.parametrize(
    ("day", "clock", "reason"),
    [
        ("2027-07-03", "25:00", "is not a time such as 14:30"),
        ("2027-07-03", "14:30+05:00", "clocks in America/New_York are not at +05:00 then"),
        ("0207-07-03", "14:30", "A year from 2000 to 2099 is needed."),
        ("2027-07-03", "", "This field is required."),
        ("soon", "14:30", "Enter a valid date."),
    ],
)
def test_a_time_that_the_venue_never_shows_is_refused_with_a_sentence(admin: Client, day: str, clock: str, reason: str) -> None:
    before = Wedding.objects.get(slug="harbour-loft")
    url = f"/admin/weddings/wedding/{before.pk}/change/"
    answer = admin.post(url, opened(admin, url) | {"ceremony_at_0": day, "ceremony_at_1": clock})
    assert answer.status_code == 200 and reason in answer.content.decode()
    assert Wedding.objects.get(slug="harbour-loft").ceremony_at == before.ceremony_at


def test_seconds_that_no_form_shows_stay_while_the_time_is_left_alone(admin: Client) -> None:
    precise = datetime(2027, 7, 3, 21, 0, 7, 500, tzinfo=UTC)
    Wedding.objects.filter(slug="harbour-loft").update(ceremony_at=precise)
    url = f"/admin/weddings/wedding/{Wedding.objects.get(slug='harbour-loft').pk}/change/"
    assert admin.post(url, opened(admin, url) | {"venue": "Pier 4"}).status_code == 302
    changed = Wedding.objects.get(slug="harbour-loft")
    assert (changed.venue, changed.ceremony_at) == ("Pier 4", precise)


@pytest.mark.parametrize("whole", [False, True], ids=["one", "several at once"])
def test_nothing_waits_for_a_deleted_item_any_more(admin: Client, whole: bool) -> None:
    gone = ceremony()
    waiting = [item for item in RunSheetItem.objects.all() if gone.pk in item.depends_on]
    assert waiting
    if whole:
        told = {"action": "delete_selected", "_selected_action": [gone.pk], "post": "yes"}
        admin.post("/admin/weddings/runsheetitem/", told)
    else:
        admin.post(f"/admin/weddings/runsheetitem/{gone.pk}/delete/", {"post": "yes"})
    assert not RunSheetItem.objects.filter(pk=gone.pk).exists()
    for before in waiting:
        after = RunSheetItem.objects.get(pk=before.pk)
        assert after.depends_on == [n for n in before.depends_on if n != gone.pk]
        assert after.version == before.version + 1
    url = f"/admin/weddings/runsheetitem/{waiting[0].pk}/change/"
    assert admin.post(url, opened(admin, url) | {"title": "Renamed"}).status_code == 302


@pytest.mark.parametrize("page", ["abc/import-runsheet", "abc/export-runsheet", f"{10**30}/export-runsheet"])
def test_a_wedding_that_cannot_be_is_not_found(admin: Client, page: str) -> None:
    assert admin.get(f"/admin/weddings/wedding/{page}/").status_code == 404


SHEET = (
    "start,minutes,title,where,who,kind,depends_on,notes\n14:00,30,Doors,Hall,planner,cue,,\n{},35,Dinner,Hall,,flex,Doors,\n"
)


def upload(admin: Client, url: str, table: str = "", **more: str) -> HttpResponse:
    """Post a table, as pasted; the page as rendered."""
    page: HttpResponse = admin.post(url, {"table": table, **more})
    return page


def confirm(admin: Client, url: str, preview: HttpResponse) -> HttpResponse:
    """Send the form of a preview as the button does."""
    return upload(admin, url, confirm="1", **preview.context["form"].initial)  # type: ignore[attr-defined]


def test_a_run_sheet_is_previewed_and_changes_nothing_until_it_is_confirmed(admin: Client) -> None:
    wedding = Wedding.objects.get(slug="rose-garden")
    url = f"/admin/weddings/wedding/{wedding.pk}/import-runsheet/"
    assert admin.get(url).status_code == 200
    before = list(wedding.items.values_list("pk", "title", "version"))
    page = upload(admin, url, SHEET.format("15:00"))
    text = page.content.decode()
    assert page.status_code == 200 and "This would change" in text and "Dinner" in text and "removed" in text
    assert list(wedding.items.values_list("pk", "title", "version")) == before
    assert confirm(admin, url, page).status_code == 302
    assert set(wedding.items.values_list("title", flat=True)) == {"Doors", "Dinner"}
    assert "Nothing would change" in upload(admin, url, SHEET.format("15:00")).content.decode()
    changed = upload(admin, url, SHEET.format("15:10")).content.decode()
    assert "15:00" in changed and "15:10" in changed


def test_only_what_was_seen_is_done(admin: Client) -> None:
    wedding = Wedding.objects.get(slug="rose-garden")
    url = f"/admin/weddings/wedding/{wedding.pk}/import-runsheet/"
    page = upload(admin, url, SHEET.format("15:00"))
    RunSheetItem.objects.filter(wedding=wedding, title="Dinner").update(minutes=77)
    again = confirm(admin, url, page)
    assert again.status_code == 409 and "the plan was changed meanwhile" in again.content.decode()
    assert wedding.items.get(title="Dinner").minutes == 77
    assert upload(admin, url, SHEET.format("15:00"), confirm="1").status_code == 409, "never seen at all"
    assert confirm(admin, url, again).status_code == 302
    assert wedding.items.get(title="Dinner").minutes == 35


def test_a_table_as_large_as_it_may_be_comes_back_from_its_preview(admin: Client) -> None:
    row = "barn-{},{},America/Chicago,2027-06-12T15:00,90,9,2,40\n"
    table = "slug,venue,timezone,ceremony_local,invited_guests,vendors,planners,expected_connections\n"
    table += "".join(row.format(n, "Ü" * 150) for n in range(5_500))
    url = "/admin/weddings/wedding/import-calendar/"
    page = admin.post(url, {"file": SimpleUploadedFile("calendar.csv", table.encode())})
    assert "and 5,200 more" in page.content.decode()
    assert confirm(admin, url, page).status_code == 302 and Wedding.objects.filter(slug__startswith="barn-").count() == 5_500
    large = SimpleUploadedFile("calendar.csv", table.encode() * 2)
    assert "more than 2,000,000 bytes" in admin.post(url, {"file": large}).content.decode()
    # A table, another one as a file, and what stands around them.
    assert body_limit(url.encode()) > 2 * BYTES_MAX + 100_000


def test_mistakes_are_shown_by_line_and_column_and_escaped(admin: Client) -> None:
    wedding = Wedding.objects.get(slug="rose-garden")
    url = f"/admin/weddings/wedding/{wedding.pk}/import-runsheet/"
    titles = set(wedding.items.values_list("title", flat=True))
    for more in ({}, {"confirm": "1"}):
        page = upload(admin, url, SHEET.format("25:00<script>"), **more)
        text = page.content.decode()
        assert page.status_code == 422 and "1 mistake; nothing was changed" in text and "25:00&lt;script&gt;" in text
    assert set(wedding.items.values_list("title", flat=True)) == titles
    assert "Choose a file, or paste a table" in upload(admin, url, "").content.decode()
    binary = SimpleUploadedFile("sheet.xlsx", b"PK\x03\x04 not a table")
    assert "this is no text" in admin.post(url, {"file": binary}).content.decode()


def test_a_calendar_is_uploaded_previewed_and_stored(admin: Client) -> None:
    row = "barn-1,Old Barn,America/Chicago,2027-06-12T15:00,90,9,2,40"
    table = f"slug,venue,timezone,ceremony_local,invited_guests,vendors,planners,expected_connections\n{row}\n"
    url = "/admin/weddings/wedding/import-calendar/"
    sheet = SimpleUploadedFile("calendar.csv", b"\xef\xbb\xbf" + table.encode())
    page = admin.post(url, {"file": sheet}, follow=True)
    assert "1 new" in page.content.decode() and not Wedding.objects.filter(slug="barn-1").exists()
    assert confirm(admin, url, page).status_code == 302
    assert Wedding.objects.get(slug="barn-1").venue == "Old Barn"
    assert "Nothing would change" in upload(admin, url, table).content.decode()


def test_an_exported_sheet_is_harmless_and_comes_back_as_it_was(admin: Client) -> None:
    wedding = Wedding.objects.get(slug="rose-garden")
    item = wedding.items.get(title="Ceremony")
    item.notes, item.where = '=HYPERLINK("http://evil")', "'=quoted"
    item.save()
    page = admin.get(f"/admin/weddings/wedding/{wedding.pk}/export-runsheet/", follow=True)
    text = page.content.decode()
    assert page["Content-Type"].startswith("text/csv") and "\"'=HYPERLINK" in text and "''=quoted" in text
    assert not any(cell.startswith(("=", "+", "-", "@")) for line in csv.reader(text.splitlines()) for cell in line)
    day = wedding.ceremony_at.astimezone(wedding.zone).date()
    rows = read(decode(page.content), day, wedding.zone)
    assert runsheet_changes(wedding, rows) == [] and load(wedding, rows).changed == ()


def test_a_join_link_is_revoked_and_given_anew(admin: Client) -> None:
    member = Member.objects.get(name="Maya", wedding__slug="rose-garden")
    old, someone = member.join_key, Client()
    someone.post(f"/join/{old}/")
    assert someone.get("/weddings/rose-garden/").status_code == 200
    shown = admin.get(f"/admin/weddings/member/{member.pk}/change/").content.decode()
    assert f"http://testserver/join/{old}/" in shown
    admin.post("/admin/weddings/member/", {"action": "revoke", "_selected_action": [member.pk]})
    shown = admin.get(f"/admin/weddings/member/{member.pk}/change/").content.decode()
    assert old not in shown and "revoked" in shown and member.public_id in domain.revoked()
    admin.post("/admin/weddings/member/", {"action": "renew", "_selected_action": [member.pk]})
    member.refresh_from_db()
    assert member.join_key != old and member.public_id not in domain.revoked()
    assert Client().get(f"/join/{old}/").status_code == 404
    assert someone.get("/weddings/rose-garden/").status_code == 302, "nobody comes back in who was shut out"
    assert Client().get(f"/join/{member.join_key}/").status_code == 200
