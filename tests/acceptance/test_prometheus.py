"""The shipped files for Prometheus: checked by promtool, and followed from a worker's death to the page."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import threading
from bisect import bisect_left
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from realtime.adapters.registry import RedisRegistry
from realtime.histogram import EXPORTED_S, merged, quantile_s, within
from realtime.report import WorkerReport
from tests.acceptance.crowd import MIX, Crowd
from tests.acceptance.test_alertmanager import get, start
from tests.conftest import missing
from tests.monitoring.hooks import hook
from tests.processes import ROOT, Processes, answers, free_port, wait_until

pytestmark = pytest.mark.acceptance
Query = Callable[[str], list[str]]
FILES = ROOT / "deploy/prometheus"


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        missing(name, "prometheus")
    return found or ""


@pytest.mark.parametrize(
    "command", [("check", "config", "prometheus.yml"), ("check", "rules", "rules.yml"), ("test", "rules", "rules.test.yml")]
)
def test_promtool_is_content(command: tuple[str, ...]) -> None:
    done = subprocess.run([program("promtool"), *command], cwd=FILES, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


class Exporter(ThreadingHTTPServer):
    """Two workers and the list of them; one can be silenced."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, worker, name = self.path.rsplit("/", 2)
                if worker in exporter.silent:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "application/json" if name == "targets" else "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write((exporter.targets() if name == "targets" else exporter.metrics(worker)).encode())

            def log_message(self, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def targets(self) -> str:
        address = f"127.0.0.1:{self.server_port}"
        workers = [
            {"targets": [address], "labels": {"worker": worker, "__metrics_path__": f"/{worker}/metrics"}}
            for worker in ("w1", "w2")
        ]
        return json.dumps(workers)

    def metrics(self, worker: str) -> str:
        return f'wedsync_connections{{worker="{worker}",role="guest"}} 7\n'


def prometheus(processes: Processes, targets: str, manager: str = "127.0.0.1:9093") -> Query:
    """Start it with the shipped files, every wait a second long; gives what asks it: PromQL in, values out."""
    folder = Path(processes.folder)
    shutil.copy(FILES / "rules.yml", folder)
    text = (FILES / "prometheus.yml").read_text()
    for shipped, ours in (
        ("http://127.0.0.1:8000/metrics/targets", targets),
        ("127.0.0.1:9093", manager),
        ("_interval: 5s", "_interval: 1s"),
        ("scrape_timeout: 4s", "scrape_timeout: 1s"),
        ("refresh_interval: 15s", "refresh_interval: 1s"),
    ):
        assert shipped in text
        text = text.replace(shipped, ours)
    (folder / "prometheus.yml").write_text(text)
    port = free_port()
    processes.start(
        program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    wait_until(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), "Prometheus is ready")

    def value(query: str) -> list[str]:
        found = get(f"http://127.0.0.1:{port}/api/v1/query?query={quote(query)}")["data"]["result"]
        return [result["value"][1] for result in found]

    return value


@pytest.mark.unhurried
def test_a_worker_s_death_becomes_a_page(processes: Processes) -> None:
    exporter = Exporter()
    thread = threading.Thread(target=exporter.serve_forever, args=(0.01,))
    thread.start()
    try:
        with hook() as sink:
            manager = start(processes, sink)
            targets = f"http://127.0.0.1:{exporter.server_port}/fleet/targets"
            value = prometheus(processes, targets, manager.removeprefix("http://"))
            wait_until(lambda: value("sum(wedsync_connections)") == ["14"], "both workers were found and scraped")
            exporter.silent.add("w2")
            wait_until(lambda: bool(sink.got), "the page is there")
            path, _, body = sink.got[0]
            (alert,) = json.loads(body)["alerts"]
            assert (
                path == "/pages" and alert["labels"]["alertname"] == "WedSyncWorkerDown" and alert["labels"]["worker"] == "w2"
            )
    finally:
        exporter.shutdown()
        thread.join()
        exporter.server_close()


async def reports(redis_url: str) -> list[WorkerReport]:
    registry = RedisRegistry(redis_url, timeout_s=5.0)
    try:
        return await registry.reports()
    finally:
        await registry.stop()


async def test_a_fleet_is_found_and_its_p99_is_ours(processes: Processes, redis_url: str) -> None:
    processes.demo()
    fleet = processes.fleet(REDIS_URL=redis_url)
    value = await asyncio.to_thread(prometheus, processes, f"{fleet.url}/metrics/targets")

    async def seen(query: str, expected: list[str], what: str) -> None:
        await asyncio.to_thread(wait_until, lambda: value(query) == expected, what)

    await seen('count(up{job="wedsync", worker=~"w1|w2"} == 1)', ["2"], "both workers were found and answer")
    await seen('up{job="wedsync-web"}', ["1"], "so does the web process")
    assert float(value('sum(django_db_execute_total{alias="default"})')[0]) > 0
    async with Crowd(processes, "rose-garden", [fleet.url.replace("http", "ws")], MIX) as crowd:
        await seen("sum(wedsync_connections)", ["20"], "everybody is counted")
        await crowd.talk(0, {"planner": 15, "vendor": 10, "guest": 8}, "a")
        await crowd.settled()
        await asyncio.sleep(2.5)  # the last report
        ours = merged(buckets for report in await reports(redis_url) for buckets in report.latency.values())
        total = sum(ours.values())
        assert total > 2_000
        await seen("sum(wedsync_delivery_seconds_count)", [str(total)], "every delivery is there")
        await seen("sum(wedsync_fleet_delivery_seconds_count)", [str(total)], "in the merged figures too")
    for edge_s, count in zip(EXPORTED_S, within(ours, EXPORTED_S), strict=True):
        assert value(f'sum(wedsync_delivery_seconds_bucket{{le="{edge_s}"}})') == [str(count)], edge_s
    (theirs,) = value("histogram_quantile(0.99, sum by (le) (wedsync_delivery_seconds_bucket))")
    p99_s = quantile_s(ours, 0.99)
    assert p99_s is not None
    assert abs(bisect_left(EXPORTED_S, float(theirs)) - bisect_left(EXPORTED_S, p99_s)) <= 1, (theirs, p99_s)
