"""The real Alertmanager, with the shipped configuration, takes our alerts, groups them and hears of their end."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitoring import alerting
from monitoring.delivery import Delivery
from monitoring.models import Alert, Receiver
from realtime.clock import SystemClock
from tests.conftest import missing
from tests.monitoring.hooks import Hook, hook
from tests.processes import ROOT, Processes, answers, free_port, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.unhurried, pytest.mark.django_db(databases=["default", "history"])]
CONFIG = ROOT / "deploy/prometheus/alertmanager.yml"


def program(*names: str) -> str:
    """The path of the first that is there."""
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        missing(names[0], "prometheus-alertmanager")
    return found or ""


def test_the_configuration_is_valid() -> None:
    done = subprocess.run([program("amtool"), "check-config", str(CONFIG)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


def start(processes: Processes, sink: Hook) -> str:
    """Alertmanager with our file, its notifications coming here, its waits a second long."""
    text = CONFIG.read_text().replace("http://127.0.0.1:9095", sink.url)
    for wait in ("group_wait: 5s", "group_interval: 30s"):
        assert wait in text
        text = text.replace(wait, f"{wait.partition(':')[0]}: 1s")
    config = Path(processes.folder) / "alertmanager.yml"
    config.write_text(text)
    port = free_port()
    processes.start(
        program("prometheus-alertmanager", "alertmanager"),
        f"--config.file={config}",
        f"--storage.path={processes.folder}/alertmanager",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    wait_until(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), "Alertmanager is ready")
    return f"http://127.0.0.1:{port}"


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)


def told(sink: Hook) -> list[tuple[str, str, int]]:
    """(where, status, alerts in it) of each notification."""
    bodies = [(path, json.loads(body)) for path, _, body in list(sink.got)]
    return [(path, body["status"], len(body["alerts"])) for path, body in bodies]


def test_it_receives_groups_and_resolves(processes: Processes) -> None:
    clock = SystemClock()
    with hook() as sink:
        url = start(processes, sink)
        Receiver.objects.create(name="manager", kind="alertmanager", target=url)
        rows = [
            Alert.objects.create(
                fingerprint=f"f{n}", rule="worker-missing", severity="page", state="firing", told="firing", reason="r",
                labels={"worker": f"w{n}"}, raised_at=clock.now(), fired_at=clock.now(),
            )
            for n in (1, 2)
        ]  # fmt: skip
        alerting.notify([(alerting.content(row, None), clock.now()) for row in rows])
        assert Delivery().step(clock.now() + timedelta(seconds=1)) == 1
        assert Receiver.objects.get().last_result.startswith("200")
        (group,) = get(f"{url}/api/v2/alerts/groups")
        assert group["labels"] == {"alertname": "worker-missing"} and len(group["alerts"]) == 2
        wait_until(lambda: bool(sink.got), "the page is there")
        assert told(sink) == [("/pages", "firing", 2)]
        for row in rows:
            row.resolved_at, row.state = clock.now(), "ok"
            row.save()
        alerting.notify([(alerting.content(row, None), clock.now()) for row in rows])
        assert Delivery().step(clock.now() + timedelta(seconds=1)) == 1
        wait_until(lambda: ("/pages", "resolved", 2) in told(sink), "the end is there")
        assert get(f"{url}/api/v2/alerts") == []
