"""The control loop's own port: the last figures, and nothing without the token."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from monitoring.figures import Figures
from monitoring.management.commands import control_loop
from monitoring.metrics_port import Board, serving


def status(port: int, path: str = "/metrics", **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


def test_the_last_figures_while_the_lease_is_held(settings: Any) -> None:
    board = Board()
    with serving(board, "127.0.0.1", 0) as port:
        assert status(port) == (200, b"")
        board.show(Figures(1.0, wanted=4, desired=4))
        assert b"wedsync_desired_workers 4.0" in status(port)[1]
        assert status(port, "/other")[0] == 404
        settings.METRICS_TOKEN = "secret"
        assert status(port)[0] == 401 and status(port, Authorization="Bearer secret")[0] == 200


def test_a_port_that_is_taken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_loop, "obstacle", str)
    with serving(Board(), "127.0.0.1", 0) as port:
        for number in (port, 70_000):
            with pytest.raises(CommandError, match="cannot be had") as refused:
                call_command("control_loop", metrics_port=number)
            assert refused.value.returncode == 2
