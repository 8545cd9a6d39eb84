"""What was refused after its transaction had committed is seen in the admin, and nothing can be done to it there."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from realtime.clock import SystemClock
from realtime.models import OutboxEntry, Room

pytestmark = pytest.mark.django_db(databases=["default", "history"])


def test_what_was_refused_can_be_read() -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada"))
    room = Room.objects.create(name="rose-garden")
    for kind, failed in [("timeline.shift", "There is no such item."), ("chat.crew", "")]:
        OutboxEntry.objects.create(room=room, kind=kind, publication_id=kind, at=SystemClock().now(), failed=failed)
    url = "/admin/realtime/outboxentry/"
    page = client.get(url).content.decode()
    assert "timeline.shift" in page and "There is no such item." in page and "chat.crew" not in page
    row = OutboxEntry.objects.get(kind="timeline.shift").pk
    assert client.get(f"{url}{row}/change/").status_code == 200
    assert [client.get(f"{url}{end}").status_code for end in ("add/", f"{row}/delete/")] == [403, 403]
