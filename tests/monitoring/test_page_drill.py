"""`drill page-me`: passed when the page reached everybody and a person answered."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from monitoring import page_drill
from monitoring.models import Alert, DrillRun, Notice, Receiver
from monitoring.page_drill import verdict
from monitoring.readiness import PageTest
from realtime.clock import SystemClock

NOW = datetime(2027, 6, 9, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reached", "missed", "acknowledged", "said"),
    [
        (("ops",), (), NOW + timedelta(seconds=9), ""),
        (("ops",), (), None, "nobody acknowledged the page within 30 s"),
        (("ops",), ("boss",), NOW, "did not reach boss"),
        ((), ("ops",), None, "is a control loop running"),
    ],
)
def test_why_it_failed(reached: tuple[str, ...], missed: tuple[str, ...], acknowledged: datetime | None, said: str) -> None:
    found = verdict(PageTest(NOW, "ada", reached, missed, acknowledged, "ada"), 30.0)
    assert said in found and bool(said) == bool(found)


@pytest.mark.django_db(databases=["default", "history"])
class TestCommand:
    def page_me(self, *arguments: str) -> dict[str, Any]:
        out = StringIO()
        call_command("drill", "page-me", "--by", "ada", "--json", *arguments, stdout=out)
        found: dict[str, Any] = json.loads(out.getvalue())
        return found

    def test_without_receivers_it_is_refused(self) -> None:
        with pytest.raises(CommandError, match="add a receiver") as error:
            self.page_me()
        assert error.value.returncode == 2

    def test_a_person_who_answers_is_recorded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Receiver.objects.create(name="ops", kind="webhook", target="http://127.0.0.1:9/")

        def somebody_answers(_: float) -> None:
            Notice.objects.update(sent_at=SystemClock().now())
            Alert.objects.update(acknowledged_at=SystemClock().now(), acknowledged_by="bea")

        monkeypatch.setattr("time.sleep", somebody_answers)
        found = self.page_me("--wait", "60")
        assert found["passed"] and found["acknowledged_by"] == "bea" and found["reached"] == ["ops"]
        assert DrillRun.objects.get(name="page-me").passed

    def test_nobody_answers(self) -> None:
        Receiver.objects.create(name="ops", kind="webhook", target="http://127.0.0.1:9/")
        with pytest.raises(SystemExit) as ended:
            self.page_me("--wait", "0.01")
        assert ended.value.code == 1 and not DrillRun.objects.get(name="page-me").passed
        assert page_drill.WAIT_S == 300.0
