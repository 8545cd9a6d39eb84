"""A process that stood still says nothing that is old when it goes on."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from realtime.config import RealtimeConfig
from realtime.connection import Connection
from realtime.errors import Overloaded
from realtime.hub import Hub
from realtime.kinds import KINDS, decode_data
from realtime.messages import Sender
from realtime.parcel import Parcel, pack
from realtime.publication import Draft
from realtime.standstill import FLEETING_MAX_AGE_S, STALE_S, STANDSTILL_S
from tests.fakes import ManualClock, MemoryJournal, MemoryMailbox, Network, at_once
from tests.realtime.test_connection import FakeWire, pubs_of

ME = Sender("m", "guest")
CLAP = b'{"emoji":"x","target":"photo"}'


class Place:
    """A hub with one room and one member."""

    async def open(self) -> Place:
        self.clock = ManualClock()
        journal = MemoryJournal(self.clock, "rose")
        self.hub = Hub(RealtimeConfig(), journal, MemoryMailbox(Network()), self.clock, at_once, "h.1.a")
        self.wire = FakeWire()
        await self.hub.join(Connection("rose", Sender("other", "planner"), self.wire), "", None, "")
        self.hub.standstill.alive()
        return self

    def clap(self, id: str) -> Draft:
        return Draft("rose", KINDS["reaction"], id, CLAP, decode_data(KINDS["reaction"], CLAP), ME)

    def seen(self) -> list[str]:
        return [pub.id for pub in pubs_of(self.wire.sent) if pub.kind == "reaction"]


async def test_what_waited_in_the_sockets_is_refused_and_counted() -> None:
    place = await Place().open()
    place.hub.ephemeral(place.clap("before"))
    place.clock.advance(STANDSTILL_S + 0.1)
    with pytest.raises(Overloaded):
        place.hub.ephemeral(place.clap("read before the timer"))
    place.hub.standstill.alive()
    with pytest.raises(Overloaded):
        place.hub.ephemeral(place.clap("read after the timer"))
    for _ in range(int(STALE_S / 0.1) + 2):  # as often as in a process
        place.clock.advance(0.1)
        place.hub.standstill.alive()
    place.hub.ephemeral(place.clap("new"))
    assert place.seen() == ["before", "new"]
    assert place.hub.measures.shed["guest"] == 2


async def test_what_waited_in_the_mailbox_is_not_shown() -> None:
    place = await Place().open()
    waited_s = FLEETING_MAX_AGE_S + 1
    said = [place.hub.fleeting_entry(place.clap(id)) for id in ("here", "elsewhere")]
    place.clock.advance(waited_s)
    here = msgspec.structs.replace(said[0], received_s=place.clock.monotonic() - waited_s)
    place.hub.receive("rose", pack(Parcel("h.2.b", fleeting=here)))
    place.hub.receive("rose", pack(Parcel("other.2.b", fleeting=said[1])))
    place.hub.receive("rose", pack(Parcel("h.2.b", fleeting=place.hub.fleeting_entry(place.clap("new")))))
    assert place.seen() == ["new"]


@pytest.mark.parametrize("process", ["h.2.b", "other.2.b"])
async def test_a_wrong_clock_is_no_standstill(process: str) -> None:
    place = await Place().open()
    entry = place.hub.fleeting_entry(place.clap("now"))
    entry = msgspec.structs.replace(entry, at=entry.at - timedelta(minutes=5), received_s=place.clock.monotonic())
    place.hub.receive("rose", pack(Parcel(process, fleeting=entry)))
    assert place.seen() == ["now"]
