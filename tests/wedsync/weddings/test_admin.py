"""The admin pages of the weddings."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from wedsync.weddings.demo import place
from wedsync.weddings.domain import domain
from wedsync.weddings.models import ApiToken, Member, RunSheetItem, Wedding

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
