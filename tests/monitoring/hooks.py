"""A webhook receiver and a mail server for tests, on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer, StreamRequestHandler, ThreadingTCPServer
from typing import TypeVar


class Hook(ThreadingHTTPServer):
    """Remembers what it got as (path, headers, body), answers `status`, forgets to answer when `lose` is set, and stops in the
    middle of its answer when `cut` is. `drip` is called after each byte of a header that never ends."""

    def __init__(self, port: int = 0) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status, self.lose, self.cut = 200, False, False
        self.drip: Callable[[], object] | None = None
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((self.path, dict(self.headers), body))
                if hook.drip is not None:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Endless: ")
                    with suppress(OSError):  # until nobody reads it
                        while True:
                            self.wfile.write(b"x")
                            hook.drip()
                if not hook.lose:
                    self.send_response(hook.status)
                    self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                    self.send_header("Content-Length", "300" if hook.cut else "0")
                    self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class PostOffice(ThreadingTCPServer):
    """Remembers whom it took a message for, answers `refused[address]` to the others and hangs up after a 421.
    `drip` is called after each line of an answer to `drips_at` ("220" is its greeting) that never ends."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.refused: dict[str, str] = {}
        self.drip: Callable[[], object] | None = None
        self.drips_at = "220"
        office = self

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                self.say("220 here")
                recipient = ""
                while line := self.rfile.readline().decode().strip():
                    match line[:4].upper():
                        case "RCPT":
                            recipient = line.partition("<")[2].rstrip(">")
                            answer = office.refused.get(recipient, "250 ok")
                        case "DATA":
                            self.say("354 go on")
                            while self.rfile.readline() != b".\r\n":
                                pass
                            office.taken.append(recipient)
                            answer = "250 taken"
                        case "QUIT":
                            answer = "221 bye"
                        case _:
                            answer = "250 ok"
                    self.say(answer)
                    if answer.startswith(("221", "421")):
                        return

            def say(self, answer: str) -> None:
                with suppress(OSError):  # until nobody reads it
                    while office.drip is not None and answer.startswith(office.drips_at):
                        self.wfile.write(b"250-wait\r\n")
                        office.drip()
                self.wfile.write(f"{answer}\r\n".encode())

        super().__init__(("127.0.0.1", 0), Handler)


Server = TypeVar("Server", bound=BaseServer)


@contextmanager
def hook(port: int = 0) -> Iterator[Hook]:
    """One that listens until the end of the block."""
    with _listening(Hook(port)) as server:
        yield server


@contextmanager
def post_office() -> Iterator[PostOffice]:
    """One that listens until the end of the block."""
    with _listening(PostOffice()) as server:
        yield server


@contextmanager
def _listening(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
