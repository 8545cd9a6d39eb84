"""Daphne's checks in small steps: who has a turn when, and who needs none."""

from __future__ import annotations

import gc
import inspect
import time
import weakref
from typing import Any

import daphne.http_protocol
import daphne.server
import pytest
from daphne.ws_protocol import WebSocketProtocol

from realtime.adapters import rounds
from realtime.adapters.daphne_server import WireFactory
from tests.realtime.adapters.test_daphne_server import Server


class Checked:
    """A connection that counts its checks."""

    def __init__(self) -> None:
        self.checks = 0

    def check_timeouts(self) -> None:
        self.checks += 1


def test_daphnes_checks_go_round_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []
    for module in (daphne.server, rounds):
        monkeypatch.setattr(module.reactor, "callLater", lambda seconds, call: calls.append(seconds), raising=False)
    source = inspect.getsource(daphne.server.Server.application_checker)
    assert "list(self.connections.items())" in source and "reactor.callLater(1, self.application_checker)" in source
    assert "return hash(id(self))" in inspect.getsource(daphne.ws_protocol.WebSocketProtocol.__hash__)
    server = Server()
    protocols = [Checked() for _ in range(1_000)]
    gone = protocols[7]
    server.connections = {protocol: {} for protocol in protocols}
    server.connections[gone]["disconnected"] = 1.0
    server.application_close_timeout = 10
    WireFactory(server)
    steps = round(rounds.ROUND_S / rounds.STEP_S)
    for _ in range(steps):
        before = sum(protocol.checks for protocol in protocols)
        server.application_checker()
        assert sum(protocol.checks for protocol in protocols) - before <= 1_000 / steps
    assert {protocol.checks for protocol in protocols if protocol is not gone} == {1}
    assert gone not in server.connections and len(server.connections) == 999


def test_who_is_known_to_be_quiet_is_looked_at_when_its_application_ends_or_the_quiet_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (daphne.server, rounds):
        monkeypatch.setattr(module.reactor, "callLater", lambda seconds, call: None, raising=False)
    server = Server()
    quiet, over, ended, gone = (Checked() for _ in range(4))
    now_s = rounds.monotonic()
    for protocol, until_s in ((quiet, now_s + 60), (over, now_s - 1), (ended, now_s + 60), (gone, now_s + 60)):
        protocol.quiet_until_s = until_s  # type: ignore[attr-defined]
    server.connections = {protocol: {} for protocol in (quiet, over, ended, gone)}
    server.connections[gone]["disconnected"] = 1.0
    server.application_close_timeout = 10
    looking = rounds.Rounds(server)
    looking.soon(ended)
    for _ in range(round(rounds.ROUND_S / rounds.STEP_S)):
        looking.step()
    assert over.checks and [protocol.checks for protocol in (quiet, ended, gone)] == [0, 1, 0]
    assert list(server.connections) == [quiet, over, ended]


class Application:
    """One that runs, and knows when it is asked whether it has ended."""

    asked = 0

    def done(self) -> bool:
        self.asked += 1
        return False


def test_daphne_looks_only_at_connections_that_are_over_or_whose_application_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (daphne.server, rounds):
        monkeypatch.setattr(module.reactor, "callLater", lambda seconds, call: None, raising=False)
    server, here, gone = Server(), Checked(), Checked()
    running, closing = Application(), Application()
    server.connections = {here: {"application_instance": running}, gone: {"application_instance": closing}}
    server.connections[gone]["disconnected"] = time.time()  # noqa: TID251 - Daphne's clock
    server.application_close_timeout = 10
    now_s = 0.0
    monkeypatch.setattr(rounds, "monotonic", lambda: now_s)
    looking = rounds.Rounds(server)
    for _ in range(2 * rounds.STEPS):
        now_s += rounds.STEP_S
        looking.step()
    assert here.checks == 2 and not running.asked
    assert closing.asked


class Looked(Checked):
    """Counts also how often it is asked until when it is quiet."""

    def __init__(self, until_s: float) -> None:
        super().__init__()
        self.until_s, self.looks = until_s, 0

    @property
    def quiet_until_s(self) -> float:
        self.looks += 1
        return self.until_s


def test_who_is_quiet_is_left_alone_until_that_is_over_or_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds.reactor, "callLater", lambda seconds, call: None, raising=False)
    now_s = 1_000.0
    monkeypatch.setattr(rounds.time, "time", lambda: now_s)
    monkeypatch.setattr(rounds, "monotonic", lambda: now_s)
    server, quiet, leaving = Server(), Looked(now_s + 30), Looked(now_s + 30)
    server.connections = {protocol: {} for protocol in (quiet, leaving, *(Checked() for _ in range(98)))}
    server.application_close_timeout = 10
    WireFactory(server)

    def round_of_all() -> None:
        nonlocal now_s
        for _ in range(round(rounds.ROUND_S / rounds.STEP_S)):
            server.application_checker()
            now_s += rounds.STEP_S

    for _ in range(3):
        round_of_all()
    assert (quiet.looks, leaving.looks) == (1, 1)
    server.protocol_disconnected(leaving)
    now_s += server.application_close_timeout
    round_of_all()
    assert leaving not in server.connections and quiet.looks == 1 and not quiet.checks
    for _ in range(3):
        round_of_all()
    assert quiet.checks


def test_who_comes_has_a_turn_in_each_round_and_who_is_gone_is_kept_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for protocol_of in (daphne.http_protocol.WebRequest, WebSocketProtocol):
        assert "self.server.protocol_connected(self)" in inspect.getsource(protocol_of)
    source = inspect.getsource(daphne.server.Server)
    assert source.count("self.connections[protocol] = ") == 1, "nobody comes in another way"
    monkeypatch.setattr(rounds.reactor, "callLater", lambda seconds, call: None, raising=False)
    now_s = 1_000.0
    monkeypatch.setattr(rounds.time, "time", lambda: now_s)
    monkeypatch.setattr(rounds, "monotonic", lambda: now_s)
    server: Any = Server()
    server.connections, server.application_close_timeout = {}, 10
    WireFactory(server)
    usual, quiet = Checked(), Looked(now_s + 30)
    for number in range(1, 6):
        if number == 2:
            server.protocol_connected(usual), server.protocol_connected(quiet)
        for _ in range(rounds.STEPS):
            server.application_checker()
        assert usual.checks == max(0, number - 1)
    kept = weakref.ref(quiet)
    server.protocol_disconnected(quiet)
    del server.connections[quiet], quiet
    for _ in range(rounds.STEPS):
        server.application_checker()
    gc.collect()
    assert kept() is None


def test_a_clock_that_was_set_and_a_loop_that_is_late_keep_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds.reactor, "callLater", lambda seconds, call: None, raising=False)
    now_s, away_s = 1_000.0, 0.0
    monkeypatch.setattr(rounds.time, "time", lambda: 1e9 + now_s + away_s)
    monkeypatch.setattr(rounds, "monotonic", lambda: now_s)
    server: Any = Server()
    server.connections, server.application_close_timeout = {}, 10
    WireFactory(server)
    phones = [Looked(now_s) for _ in range(100)]
    for phone in phones:
        server.protocol_connected(phone)

    def go_on(seconds: float, step_s: float) -> None:
        nonlocal now_s
        for _ in range(round(seconds / step_s)):
            now_s += step_s
            server.application_checker()

    for away_s in (-86_400.0, 0.0, 86_400.0):  # noqa: B007 - the clock reads it
        before = sum(phone.checks for phone in phones)
        go_on(60, rounds.STEP_S)
        assert 11 * 100 <= sum(phone.checks for phone in phones) - before <= 13 * 100 and all(phone.checks for phone in phones)
    before = sum(phone.checks for phone in phones)
    go_on(60, 5 * rounds.STEP_S)
    assert 11 * 100 <= sum(phone.checks for phone in phones) - before <= 13 * 100


def test_a_check_that_fails_ends_no_other(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[float] = []
    monkeypatch.setattr(rounds.reactor, "callLater", lambda seconds, call: calls.append(seconds), raising=False)
    server, ill, well = Server(), Checked(), [Checked() for _ in range(9)]
    monkeypatch.setattr(ill, "check_timeouts", lambda: 1 / 0)
    server.connections, server.application_close_timeout = {protocol: {} for protocol in (ill, *well)}, 10
    WireFactory(server)
    for _ in range(2 * rounds.STEPS):
        server.application_checker()
    assert {protocol.checks for protocol in well} == {2} and calls.count(rounds.STEP_S) == 2 * rounds.STEPS
    assert caplog.text.count("ZeroDivisionError: ") == 2


def test_who_is_gone_without_an_application_is_forgotten_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds.reactor, "callLater", lambda seconds, call: None, raising=False)
    server: Any = Server()
    server.connections, server.application_close_timeout = {}, 10
    WireFactory(server)
    sent_away = Checked()
    server.protocol_connected(sent_away)
    server.protocol_disconnected(sent_away)
    server.application_checker()
    assert not server.connections


def test_who_is_to_be_looked_at_has_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds.reactor, "callLater", lambda seconds, call: None, raising=False)
    now_s = 1_000.0
    monkeypatch.setattr(rounds, "monotonic", lambda: now_s)
    server: Any = Server()
    server.connections, server.application_close_timeout = {}, 10
    factory = WireFactory(server)
    quiet = Looked(now_s + 120)
    server.protocol_connected(quiet)
    for _ in range(rounds.STEPS + 2):
        now_s += rounds.STEP_S
        server.application_checker()
    assert not quiet.checks
    quiet.until_s = 0.0
    factory.rounds.look(quiet)
    now_s += rounds.STEP_S
    server.application_checker()
    assert quiet.checks == 1
    server.protocol_disconnected(quiet)
    del server.connections[quiet]
    factory.rounds.look(quiet)
    server.application_checker()
    assert quiet.checks == 1
