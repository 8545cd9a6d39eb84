"""Whose token is good while the database cannot be asked."""

from __future__ import annotations

from realtime.messages import Sender
from realtime.programs import REMEMBERED_MAX, REMEMBERED_S, Programs
from tests.fakes import ManualClock

TILL = Sender("a1", "staff", "till")


def test_a_program_is_known_in_its_room_for_a_while_and_until_it_is_withdrawn() -> None:
    clock = ManualClock()
    programs = Programs(clock)
    programs.remember("w", "t", TILL)
    asked = [("w", "t", frozenset()), ("v", "t", frozenset()), ("w", "u", frozenset()), ("w", "t", {("a1", "staff")})]
    assert [programs.known(*question) for question in asked] == [TILL, None, None, None]
    clock.advance(REMEMBERED_S)
    assert programs.known("w", "t", frozenset()) is None
    programs.remember("w", "t", TILL)
    programs.remember("w", "t", None)
    assert programs.known("w", "t", frozenset()) is None


def test_the_ones_that_published_longest_ago_are_forgotten() -> None:
    programs = Programs(ManualClock())
    for n in (*range(REMEMBERED_MAX), 0, REMEMBERED_MAX):
        programs.remember("w", str(n), TILL)
    assert [programs.known("w", str(n), frozenset()) for n in (0, 1, 2)] == [TILL, None, TILL]
