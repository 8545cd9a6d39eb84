"""Every drill explains itself, and one that lacks something here is refused by name."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from realtime.drills.catalogue import DRILLS
from realtime.drills.faults import FaultDrill
from realtime.drills.kill import KillDrill
from realtime.drills.needs import Need, program, refusal


@pytest.mark.parametrize("drill", DRILLS.values(), ids=DRILLS)
def test_a_drill_says_what_it_injects_promises_and_how_soon_all_is_well(drill: type[FaultDrill]) -> None:
    assert drill.name and drill.injects and drill.invariant and drill.recovery
    assert drill.minutes > 0 and drill.people >= 2


def test_the_list_explains_each() -> None:
    out = StringIO()
    call_command("drill", "list", "--json", stdout=out)
    drills = {drill["name"]: drill for drill in json.loads(out.getvalue())["drills"]}
    assert set(drills) == {*DRILLS, "page-me"}
    assert drills["kill"]["injects"] == KillDrill.injects
    assert drills["kill"]["recovery"] == KillDrill.recovery


def test_a_missing_program_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal("x", [program("sh", "")]) == ""
    monkeypatch.setattr(KillDrill, "needs", (Need("a thing", "apt-get install thing", lambda: False),))
    with pytest.raises(CommandError, match=r"drill kill needs a thing \(apt-get install thing\)") as error:
        call_command("drill", "kill")
    assert error.value.returncode == 2
