"""The manifests fit the schemas of Kubernetes, and each other."""

from __future__ import annotations

import shlex
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands, load_command_class

from realtime.adapters.kubernetes import KubernetesWorkers
from realtime.bootstrap import actuators
from realtime.config import RealtimeConfig
from tests.processes import ROOT

PATH = ROOT / "deploy/kubernetes/wedsync.yaml"
OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all(PATH.read_text(encoding="utf-8")))
VERSION = "1.29"


def named(kind: str, name: str = "wedsync-worker") -> dict[str, Any]:
    return next(o for o in OBJECTS if o["kind"] == kind and o["metadata"]["name"] == name)


@pytest.mark.parametrize("manifest", OBJECTS, ids=lambda o: f"{o['kind']} {o['metadata']['name']}")
def test_a_manifest_fits_its_schema(manifest: dict[str, Any]) -> None:
    assert kubernetes_validate.validate(manifest, VERSION, strict=True) == VERSION


def test_the_check_can_fail() -> None:
    wrong = named("PodDisruptionBudget") | {"spec": {"maxUnavailabel": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget"])
def test_selectors_find_the_pods(kind: str) -> None:
    labels = named("Deployment")["spec"]["template"]["metadata"]["labels"]
    selector = named(kind)["spec"]["selector"]
    assert (selector.get("matchLabels") or selector).items() <= labels.items()


def test_the_autoscaler_follows_our_metric_and_owns_the_number() -> None:
    spec = named("HorizontalPodAutoscaler")["spec"]
    assert spec["metrics"][0]["external"] == {
        "metric": {"name": "wedsync_desired_workers"},
        "target": {"type": "AverageValue", "averageValue": "1"},
    }
    assert "replicas" not in named("Deployment")["spec"]
    config = named("ConfigMap", "wedsync")["data"]
    limits = (spec["minReplicas"], spec["maxReplicas"])
    assert limits == (int(config["WEDSYNC_WORKERS_LEAST"]), int(config["WEDSYNC_WORKERS_MOST"]))


def test_the_control_loop_exports_what_the_autoscaler_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = named("Deployment", "wedsync-control")["spec"]["template"]
    command = pod["spec"]["containers"][0]["command"]
    assert command[command.index("--metrics-port") + 1] == pod["metadata"]["annotations"]["prometheus.io/port"]
    config = RealtimeConfig.from_env(named("ConfigMap", "wedsync")["data"])
    assert config.control == ""  # no worker takes the lease from those that export
    assert not isinstance(actuators(config)[0], KubernetesWorkers)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert isinstance(actuators(config)[0], KubernetesWorkers)


def test_commands_in_the_manifests_exist() -> None:
    containers = [o["spec"]["template"]["spec"]["containers"][0] for o in OBJECTS if o["kind"] == "Deployment"]
    commands = [container["command"] for container in containers]
    commands += [c["lifecycle"]["preStop"]["exec"]["command"] for c in containers if "lifecycle" in c]
    managed = [command[2:] for command in commands if command[:2] == ["python", "manage.py"]]
    assert [name for name, *_ in managed] == ["control_loop", "drain"]
    for name, *arguments in managed:
        load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(arguments)


def test_a_job_makes_the_tables_of_every_database() -> None:
    (container,) = named("Job", "wedsync-migrate")["spec"]["template"]["spec"]["containers"]
    calls = [shlex.split(part) for part in container["command"][2].split("&&")]
    assert all(call[:3] == ["python", "manage.py", "migrate"] for call in calls)
    parser = load_command_class(get_commands()["migrate"], "migrate").create_parser("manage.py", "migrate")
    asked = [parser.parse_args(call[3:]) for call in calls]
    assert {options.database for options in asked} == set(settings.DATABASES)
    assert not any(options.interactive for options in asked)


def test_settings_in_the_manifests_exist() -> None:
    worker = named("Deployment")["spec"]["template"]["spec"]["containers"][0]
    names = {entry["name"] for entry in worker["env"]} | named("ConfigMap", "wedsync")["data"].keys()
    known = {f"WEDSYNC_{field.upper()}" for field in RealtimeConfig.__struct_fields__}
    known |= {"POD_IP", "WEDSYNC_ALLOWED_HOSTS", "WEDSYNC_HTTPS"}
    assert names <= known


def test_a_worker_has_time_to_send_its_people_elsewhere() -> None:
    pod = named("Deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= 600
    assert "drain" in pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["containers"][0]["readinessProbe"]["httpGet"]["path"] == "/openz"
    assert "cpu" not in pod["containers"][0]["resources"]["limits"]
