"""Which weddings have their day, by their venue's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from realtime.fence import PREFIX
from wedsync.weddings.domain import domain
from wedsync.weddings.models import Wedding

CEREMONY = datetime(2027, 6, 12, 20, 0, tzinfo=UTC)


@pytest.mark.django_db
@pytest.mark.parametrize(("hours", "on"), [(-8.1, False), (-7.9, True), (6.9, True), (7.1, False)])
def test_from_setting_up_to_the_end(hours: float, on: bool) -> None:
    for slug in ("rose", f"{PREFIX}x"):
        Wedding(slug=slug, names="A & B", venue="V", timezone="America/Denver", ceremony_at=CEREMONY).save()
    assert domain.today(CEREMONY + timedelta(hours=hours)) == ({"rose"} if on else set())
