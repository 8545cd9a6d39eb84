"""The figures of the fleet on a port of the control loop's own, where no web process is beside it (Kubernetes)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST

from monitoring.access import admitted
from monitoring.exposition import fleet_page
from monitoring.figures import Figures


class Board:
    """The figures of the last tick, between the loop and the threads that answer."""

    def __init__(self) -> None:
        self.figures: Figures | None = None

    def show(self, figures: Figures | None) -> None:
        """From now on these."""
        self.figures = figures


@contextmanager
def serving(board: Board, host: str, port: int) -> Iterator[int]:
    """Answer `GET /metrics` in threads; gives the port. Raises OSError when it cannot be had."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(HTTPStatus.NOT_FOUND)
            elif not admitted(self.headers.get("Authorization", "")):
                self.send_error(HTTPStatus.UNAUTHORIZED)
            else:
                page = fleet_page(board.figures)
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", CONTENT_TYPE_LATEST)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

        def log_message(self, *args: object) -> None:
            """A scrape every few seconds is no news."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
