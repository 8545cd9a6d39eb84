"""Which event loop Twisted runs on, and the short way from it to a socket that is read all day."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import uvloop
from twisted.internet import reactor
from twisted.internet.main import CONNECTION_LOST

from realtime.adapters.arrivals import Arrivals

logger = logging.getLogger(__name__)


ROUNDED_S = 0.000_501
"""Half a millisecond, so that uvloop's rounding is upwards, and a little: seconds since the machine's start are exact to a few
trillionths only."""


class Loop(uvloop.Loop):  # type: ignore[misc, unused-ignore]
    """uvloop counts in milliseconds and may call a little early. Twisted, whose timers come through here, then asks again in
    turn after turn until it is time: a quarter of a millisecond of CPU for each."""

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:  # type: ignore[override]
        return super().call_at(when + ROUNDED_S, callback, *args, context=context)


def use_uvloop() -> None:
    """Have Twisted run on uvloop: 3.9 us a frame instead of 4.9 (design.md D3). Nothing changes once the reactor runs.

    Daphne has chosen asyncio's own loop when it imports the application. Until the reactor runs, that loop knows nothing but
    what it should read.
    """
    chosen = reactor._asyncioEventloop
    if chosen.is_running() or isinstance(chosen, uvloop.Loop):
        return
    readers = list(reactor._readers)
    for reader in readers:
        reactor.removeReader(reader)
    reactor._asyncioEventloop = Loop()
    if chosen._default_executor is not None:  # ASGI_THREADS
        reactor._asyncioEventloop.set_default_executor(chosen._default_executor)
    for reader in readers:
        reactor.addReader(reader)
    chosen._default_executor = None
    chosen.close()


def read_directly(transport: Any, arrivals: Arrivals) -> None:
    """Have the loop read `transport` itself when there is something, and tell `arrivals` since when. Twisted's own way leads
    through the context of its log, 5 us a time. It ends like Twisted's: `stopReading` takes it from the loop."""
    if transport.reactor is reactor and transport in reactor._readers:
        reactor._asyncioEventloop.add_reader(transport.fileno(), partial(_read, transport, arrivals))


def _read(transport: Any, arrivals: Arrivals) -> None:
    """`tcp.Connection.doRead`, with the moment of arrival."""
    if transport.fileno() == -1:
        return  # closed in this very turn
    try:
        over = transport._dataReceived(arrivals.read(transport.socket, transport.bufferSize))
    except BlockingIOError:
        return
    except OSError:
        over = CONNECTION_LOST
    except Exception as error:
        logger.exception("what %s sent could not be taken", transport.client)
        over = error
    finally:
        arrivals.done()
    if over is not None:
        reactor._disconnectSelectable(transport, over, True)
