"""Which event loop Twisted runs on. Apart from the rest, because it has to be said before anything imports Daphne."""

from __future__ import annotations

import uvloop
from twisted.internet import asyncioreactor


def install_uvloop() -> None:
    """Have Twisted run on uvloop: 3.9 us a frame instead of 4.9 (design.md D3)."""
    asyncioreactor.install(uvloop.new_event_loop())
