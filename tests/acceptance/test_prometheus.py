"""The shipped files for Prometheus: checked by promtool, and followed from a worker's death to the page."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.acceptance.test_alertmanager import get, start
from tests.conftest import missing
from tests.monitoring.hooks import hook
from tests.processes import ROOT, Processes, answers, free_port, wait_until

pytestmark = pytest.mark.acceptance
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


def test_a_worker_s_death_becomes_a_page(processes: Processes) -> None:
    exporter = Exporter()
    thread = threading.Thread(target=exporter.serve_forever, args=(0.01,))
    thread.start()
    try:
        with hook() as sink:
            manager = start(processes, sink)
            folder = Path(processes.folder)
            shutil.copy(FILES / "rules.yml", folder)
            text = (FILES / "prometheus.yml").read_text()
            for shipped, ours in (
                ("http://127.0.0.1:8000/metrics/targets", f"http://127.0.0.1:{exporter.server_port}/fleet/targets"),
                ("127.0.0.1:9093", manager.removeprefix("http://")),
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
            url = f"http://127.0.0.1:{port}/api/v1"
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), "Prometheus is ready")

            def value(query: str) -> list[str]:
                return [found["value"][1] for found in get(f"{url}/query?query={query}")["data"]["result"]]

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
