"""Offers of permessage-deflate as clients make them, and what is answered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.policy.encoding import OFFERS_MAX_CHARS, accept

YES = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12"
BOTH = f"{YES}; client_max_window_bits=12"
OFFERS = {
    "Chromium, Edge, Safari, ws": ("permessage-deflate; client_max_window_bits", BOTH),
    "Firefox, Safari's NSURLSession": ("permessage-deflate", YES),
    "python-websockets": ("permessage-deflate; client_max_window_bits", BOTH),
    "python-websockets with a window of its own": (
        "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
        BOTH,
    ),
    "aiohttp": ("permessage-deflate; client_max_window_bits=15", BOTH),
    "picows": ("", None),
    "old WebKit": ("x-webkit-deflate-frame", None),
    "old WebKit that knows both": ("x-webkit-deflate-frame, permessage-deflate", YES),
    "no context takeover asked": (
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        YES,
    ),
    "smaller client window": ("permessage-deflate; client_max_window_bits=9", f"{YES}; client_max_window_bits=9"),
    "largest server window": ("permessage-deflate; server_max_window_bits=15", YES),
    "quoted value": ('permessage-deflate; server_max_window_bits="13"', YES),
    "upper case and spaces": ("  Permessage-Deflate ;  CLIENT_MAX_WINDOW_BITS  ", BOTH),
    "too small a server window": ("permessage-deflate; server_max_window_bits=11", None),
    "the smallest server window": ("permessage-deflate; server_max_window_bits=8", None),
    "too small at first, then any": ("permessage-deflate; server_max_window_bits=10, permessage-deflate", YES),
    "a server window without value": ("permessage-deflate; server_max_window_bits", None),
    "out of range": ("permessage-deflate; server_max_window_bits=16", None),
    "leading zero": ("permessage-deflate; server_max_window_bits=012", None),
    "a switch with a value": ("permessage-deflate; server_no_context_takeover=1", None),
    "twice": ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
    "unknown parameter": ("permessage-deflate; dictionary=wedding", None),
    "unknown extension": ("permessage-brotli; quality=4", None),
    "endless": ("permessage-deflate," * OFFERS_MAX_CHARS, None),
}


@pytest.mark.parametrize(("offer", "answer"), OFFERS.values(), ids=OFFERS)
def test_what_is_answered(offer: str, answer: str | None) -> None:
    assert accept(offer) == answer


def test_the_documentation_lists_the_offers() -> None:
    text = (Path(__file__).parents[3] / "docs/protocol.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|`]+ \| `(permessage-deflate[^`]*)` \| (yes|no)", text, re.MULTILINE)
    assert len(rows) >= 6
    assert {offer: accept(offer) is not None for offer, _ in rows} == {offer: said == "yes" for offer, said in rows}


@given(st.text(alphabet='permssage-dflt;,="_ client_max_window_bits0123456789', max_size=200))
def test_anything_else_is_declined_in_peace(offer: str) -> None:
    answer = accept(offer)
    assert answer is None or answer.startswith(YES)
    assert answer is None or ("client_max_window_bits" in answer) == ("client_max_window_bits" in offer.lower())
