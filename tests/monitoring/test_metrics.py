"""The metrics: one table for code, documentation, rules and dashboards; figures that were measured, or none."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import AsyncClient
from prometheus_client.parser import text_string_to_metric_families

from monitoring import metrics_views
from monitoring.exposition import fleet_page, worker_page
from monitoring.figures import MISSING_S, NOTE, Figures, Missing, decode_figures, encode_figures, figures_of
from monitoring.metrics import METRICS, OF_FLEET, OF_WORKERS
from monitoring.rollup import Summary
from realtime.adapters.registry import REPORT_TTL_S, MemoryRegistry
from realtime.errors import RegistryUnavailable
from realtime.histogram import EXPORTED_S, Histogram
from realtime.report import WorkerReport
from tests.fakes import ManualClock

ROOT = Path(__file__).parent.parent.parent
DEPLOYED = [*(ROOT / "deploy").rglob("*.yml"), *(ROOT / "deploy").rglob("*.yaml"), *(ROOT / "deploy/grafana").glob("*.json")]
LATENCIES = [0.0004, 0.002, 0.1, 0.1001, 0.25, 0.2501, 7_000.0]


def report(slot: str = "w1", life: int = 1, **fields: Any) -> WorkerReport:
    histogram = Histogram()
    for seconds in LATENCIES:
        histogram.record(seconds)
    given = {
        "state": "ready",
        "connections": {"guest": 7, "planner": 1},
        "deliveries_total": {"P1": len(LATENCIES)},
        "publications_total": {"P1": 2},
        "latency": {"P1": histogram.counts},
        "acked": {"P1": {}},
        "shed_total": {"guest": 3},
        "plans": {"usual, plain": 8},
        "busy": 0.25,
        "lag_s": 0.001,
        "rss_bytes": 10**8,
        "gaps_total": 0,
        "layer_healthy": True,
        "canaries": {"x": 0.003, "y": None},
    }
    return WorkerReport(f"h.{life}.{slot}", slot, "h", life, 1_000.0, 900.0 + life, **given | fields)


def samples(page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(page.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_every_metric_of_the_table_is_exported_and_no_other() -> None:
    of_workers = {family.name for family in text_string_to_metric_families(worker_page(report()).decode())}
    figures = Figures(
        1.0, {"ready": 1}, total=Summary(latency={"P1": {1: 1}}, acked={"P1": {1: 1}}, faults=0), wanted=1, desired=1
    )
    of_fleet = {family.name for family in text_string_to_metric_families(fleet_page(figures).decode())}

    def known(table: Any) -> set[str]:
        return {metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name for metric in table}

    assert of_workers == known(OF_WORKERS) and of_fleet == known(OF_FLEET)
    assert len(METRICS) == len(OF_WORKERS) + len(OF_FLEET) >= 15
    for metric in METRICS.values():
        assert re.fullmatch("wedsync_[a-z_]+", metric.name) and metric.rise and metric.do
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert not metric.name.endswith(("_ms", "_milliseconds", "_percent")), "base units"


def test_buckets_are_cumulative_and_objectives_are_counted_one_by_one() -> None:
    found = samples(worker_page(report()))
    counts = [found["wedsync_delivery_seconds_bucket", (("le", f"{edge_s}"), ("priority", "P1"))] for edge_s in EXPORTED_S]
    assert counts == [sum(seconds <= edge_s for seconds in LATENCIES) for edge_s in EXPORTED_S]
    assert found["wedsync_delivery_seconds_bucket", (("le", "+Inf"), ("priority", "P1"))] == len(LATENCIES)
    assert found["wedsync_delivery_seconds_count", (("priority", "P1"),)] == len(LATENCIES)
    assert found["wedsync_ack_seconds_count", (("priority", "P1"),)] == 0


def test_what_was_not_measured_is_absent() -> None:
    unknown = report(busy=None, lag_s=None, rss_bytes=None, gaps_total=None, layer_healthy=None, canaries={})
    names = {name for name, _ in samples(worker_page(unknown))}
    absent = {"busy_ratio", "loop_lag_seconds", "memory_bytes", "stream_faults_total", "layer_up", "canary_seconds"}
    assert names.isdisjoint({f"wedsync_{name}" for name in absent})
    assert fleet_page(None) == b""
    nothing = {name for name, _ in samples(fleet_page(Figures(1.0)))}
    assert nothing.isdisjoint({"wedsync_desired_workers", "wedsync_wanted_workers", "wedsync_fleet_stream_faults_total"})


def test_figures_are_of_all_workers_and_travel() -> None:
    figures = figures_of(
        [report(), report("w2")],
        {"guest": 14, "planner": 2},
        5.0,
        Summary(publications=4, latency={"P1": {531: 2}}),
        missing=["w3"],
        alerts=1,
    )
    assert decode_figures(encode_figures(figures)) == figures
    found = samples(fleet_page(figures))
    assert found["wedsync_fleet_connections", (("role", "guest"),)] == 14
    assert found["wedsync_workers", (("state", "ready"),)] == 2 and found["wedsync_workers_missing", ()] == 1
    assert found["wedsync_fleet_publications_total", ()] == 4
    assert found["wedsync_fleet_delivery_seconds_count", (("priority", "P1"),)] == 2


def test_who_fell_silent_is_missing_for_a_minute_unless_it_left_or_was_replaced() -> None:
    missing = Missing()
    everybody = [report("w1"), report("w2"), report("w3", state="draining")]
    assert missing.step(everybody, 0.0) == []
    assert missing.step([report("w1")], 1.0) == ["w2"]
    assert missing.step([report("w1"), report("w2", life=2)], 2.0) == []
    assert missing.step([], 3.0) == ["w1", "w2"]
    assert missing.step([], 2.0 + MISSING_S) == []


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: str(path.relative_to(ROOT)))
def test_rules_dashboards_and_manifests_use_only_metrics_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    used = {re.sub("_(bucket|count)$", "", name) for name in re.findall(r"\b(wedsync_[a-z_]+)\b", text)}
    assert used <= METRICS.keys()
    limits = {float(limit) for limit in re.findall(r'le=\\?"([0-9.]+)\\?"', text)}
    assert limits <= set(EXPORTED_S), "objectives are asked of exact edges only"


def test_the_documentation_lists_every_metric() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(wedsync_[a-z_]+)` \|.*$", text, re.MULTILINE)
    assert rows == list(METRICS)
    for metric in METRICS.values():
        kind = f"{metric.kind}, `{metric.label}`" if metric.label else metric.kind
        assert f"| `{metric.name}` | {kind} | {metric.about} | {metric.rise} | {metric.do} |" in text, metric.name


class Parts:
    """What the views take of a process."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.registry = MemoryRegistry(self.clock)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    found = Parts()
    monkeypatch.setattr(metrics_views, "services", lambda: found)
    return found


async def test_every_worker_is_found_and_answers_at_its_own_address(parts: Parts) -> None:
    for slot in ("w1", "w2"):
        await parts.registry.report(report(slot))
    client = AsyncClient()
    listed = await client.get("/metrics/targets")
    assert listed["Content-Type"] == "application/json"
    *workers, web = json.loads(listed.content)
    assert [entry["labels"]["worker"] for entry in workers] == ["w1", "w2"]
    assert all(entry["targets"] == ["testserver"] for entry in (*workers, web))
    assert web["labels"] == {"job": "wedsync-web", "__metrics_path__": "/metrics"}
    page = await client.get(workers[1]["labels"]["__metrics_path__"])
    assert page.status_code == 200 and page["Content-Type"].startswith("text/plain; version=")
    assert samples(page.content)["wedsync_connections", (("role", "guest"),)] == 7


async def test_old_figures_are_never_served_and_a_silent_worker_stays_listed(parts: Parts) -> None:
    await parts.registry.report(report("w1"))
    await parts.registry.note(NOTE, encode_figures(Figures(1.0, {"ready": 1}, missing=["w2"])), 60.0)
    client = AsyncClient()
    listed = json.loads((await client.get("/metrics/targets")).content)
    assert [entry["labels"].get("worker") for entry in listed] == ["w1", "w2", None]
    assert (await client.get("/metrics/workers/w2")).status_code == 503
    parts.clock.advance(REPORT_TTL_S + 0.1)
    assert (await client.get("/metrics/workers/w1")).status_code == 503


async def test_of_two_lives_the_one_that_stays_is_shown(parts: Parts) -> None:
    await parts.registry.report(report("w1", life=1, state="draining"))
    await parts.registry.report(report("w1", life=2, connections={"guest": 99}))
    page = await AsyncClient().get("/metrics/workers/w1")
    assert samples(page.content)["wedsync_connections", (("role", "guest"),)] == 99


async def test_the_merged_figures_are_beside_those_of_the_process(parts: Parts) -> None:
    client = AsyncClient()
    alone = await client.get("/metrics")
    assert b"django_http_requests" in alone.content and b"wedsync_" not in alone.content
    await parts.registry.note(NOTE, encode_figures(Figures(1.0, {"ready": 2}, wanted=3)), 5.0)
    page = await client.get("/metrics")
    assert b'wedsync_workers{state="ready"} 2.0' in page.content and b"wedsync_wanted_workers 3.0" in page.content


async def test_without_a_registry_nobody_is_declared_gone(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*args: object) -> None:
        raise RegistryUnavailable

    monkeypatch.setattr(parts.registry, "reports", away)
    monkeypatch.setattr(parts.registry, "read", away)
    client = AsyncClient()
    assert (await client.get("/metrics/targets")).status_code == 503, "Prometheus keeps the list it has"
    assert (await client.get("/metrics/workers/w1")).status_code == 503
    assert (await client.get("/metrics")).status_code == 200


@pytest.mark.parametrize("path", ["/metrics", "/metrics/targets", "/metrics/workers/w1"])
async def test_with_a_token_only_who_has_it_reads(path: str, parts: Parts, settings: Any) -> None:
    await parts.registry.report(report("w1"))
    settings.METRICS_TOKEN = "of prometheus"
    client = AsyncClient()
    for sent in ({}, {"authorization": "Bearer of someone"}, {"authorization": "of prometheus"}, {"authorization": "Bearer é"}):
        refused = await client.get(path, headers=sent)
        assert refused.status_code == 401 and refused["WWW-Authenticate"] == "Bearer" and b"wedsync_" not in refused.content
    assert (await client.get(path, headers={"authorization": "Bearer of prometheus"})).status_code == 200
    assert (await client.post(path, headers={"authorization": "Bearer of prometheus"})).status_code == 405
