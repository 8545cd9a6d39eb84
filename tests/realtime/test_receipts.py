"""Planners see how far everybody's device is; nobody else does, and nothing is made up."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from realtime.messages import Sender
from realtime.receipts import KNOWN_MAX, TOLD_AT_ONCE, ReceiptBook
from tests.realtime.test_consumers import GUEST, PLANNER, Site, say, site, until

__all__ = ["site"]
VENDOR = Sender("m3", "vendor", "DJ")


def plain(book: ReceiptBook) -> list[tuple[str, int, float | None]]:
    return [(r.member, r.offset, r.ms) for r in book.news()]


def test_only_what_is_new_is_told() -> None:
    book = ReceiptBook()
    book.note("m1", 5, 12.34)
    book.note("m2", 4, None)
    book.note("m1", 7, None)
    assert plain(book) == [("m1", 7, None), ("m2", 4, None)]
    book.note("m1", 6, 1.0)
    assert plain(book) == []
    assert {r.member: r.offset for r in book.all()} == {"m1": 7, "m2": 4}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9))))
def test_a_receipt_never_goes_back(said: list[tuple[str, int]]) -> None:
    book, told = ReceiptBook(), dict[str, int]()
    for member, offset in said:
        book.note(member, offset, None)
        for who, known, _ in plain(book):
            assert known > told.get(who, -1)
            told[who] = known
    assert {r.member: r.offset for r in book.all()} == told == {m: max(o for n, o in said if n == m) for m, _ in said}


def test_a_large_room_is_told_in_portions() -> None:
    book = ReceiptBook()
    for n in range(TOLD_AT_ONCE + 3):
        book.note(f"m{n}", 1, None)
    assert [len(book.news()) for _ in range(3)] == [TOLD_AT_ONCE, 3, 0]


def test_it_does_not_grow_without_end() -> None:
    book = ReceiptBook()
    for n in range(KNOWN_MAX + 2):
        book.note(f"m{n % (KNOWN_MAX + 1)}", n, None)
    known = {r.member for r in book.all()}
    assert len(known) == KNOWN_MAX and "m1" not in known and "m0" in known
    assert len([r for _ in range(KNOWN_MAX) for r in book.news()]) == KNOWN_MAX


async def receipts(socket: Any) -> list[Any]:
    while True:
        pub = await until(socket, "pub")
        if pub["kind"] == "receipts":
            return pub["data"]["receipts"]  # type: ignore[no-any-return]


async def test_planners_hear_what_the_crew_has_confirmed_and_how_long_it_took(site: Site) -> None:
    planner, vendor, guest = [await site.join(who) for who in (PLANNER, VENDOR, GUEST)]
    for socket in (planner, vendor, guest):
        await until(socket, "live")
    await planner.send_to(text_data=say("Dinner is served.", kind="announcement"))
    pub = await until(vendor, "pub")
    assert pub["ack"] is True
    site.clock.elapsed_s += 0.0625
    await vendor.send_to(text_data=json.dumps({"t": "ack", "offset": pub["offset"]}))
    assert await receipts(planner) == [[VENDOR.member, pub["offset"], 62.5]]
    late = await site.join(Sender("m9", "couple", "Ana"))
    assert (await until(late, "live"))["receipts"] == [[VENDOR.member, pub["offset"], 62.5]]
    other = await site.join(Sender("m8", "vendor", "Florist"))
    assert "receipts" not in await until(other, "live")


async def test_a_receipt_for_what_was_never_sent_is_not_believed(site: Site) -> None:
    planner, vendor = await site.join(PLANNER), await site.join(VENDOR)
    await until(planner, "live"), await until(vendor, "live")
    await vendor.send_to(text_data='{"t":"ack","offset":1000}')
    await vendor.send_to(text_data='{"t":"ping","ref":1}')
    await until(vendor, "pong")
    late = await site.join(Sender("m9", "couple", "Ana"))
    assert "receipts" not in await until(late, "live")
