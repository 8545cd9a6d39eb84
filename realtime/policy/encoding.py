"""How may frames to this client be encoded? PURE: the answer to its offers of permessage-deflate (RFC 7692)."""

from __future__ import annotations

WINDOW_BITS = 12
"""Of our compressor, for everybody, so that one compressed frame serves all: 4 KB, as much as most publications have."""
_SWITCHES = {"server_no_context_takeover", "client_no_context_takeover"}
_WINDOWS = {"server_max_window_bits", "client_max_window_bits"}
_BITS = {str(bits): bits for bits in range(8, 16)}
"""Decimal without leading zeroes (RFC 7692 section 7.1.2)."""
OFFERS_MAX_CHARS = 1_000
"""Browsers send 50; nobody needs so many offers that reading them costs the others time."""


def accept(offers: str) -> str | None:
    """What to answer to a `Sec-WebSocket-Extensions` header; None: nothing, the connection stays plain.

    The first offer that we can serve with our one window counts. No context is taken over in either direction: the server may
    say so whether or not the client has asked, and so it may for its own window (sections 7.1.1.1, 7.1.1.2 and 7.1.2.1). The
    client's window may be named only when it was offered (section 7.1.2.2). Offers with anything unknown, twice or out of
    range are declined (section 7.1).
    """
    if len(offers) > OFFERS_MAX_CHARS:
        return None
    for offer in offers.split(","):
        name, *fields = (part.strip() for part in offer.split(";"))
        parameters = _parameters(fields)
        if (
            name.lower() != "permessage-deflate"
            or parameters is None
            or parameters.get("server_max_window_bits", 15) < WINDOW_BITS
        ):
            continue
        answer = (
            f"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits={WINDOW_BITS}"
        )
        if "client_max_window_bits" in parameters:
            answer += f"; client_max_window_bits={min(WINDOW_BITS, parameters['client_max_window_bits'])}"
        return answer
    return None


def _parameters(fields: list[str]) -> dict[str, int] | None:
    """Parameters of an offer, window sizes as bits; None when the RFC has us decline it."""
    found: dict[str, int] = {}
    for field in fields:
        name, has_value, value = (part.strip() for part in field.partition("="))
        name = name.lower()
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if name in found:
            return None
        if name in _SWITCHES and not has_value:
            found[name] = 1
        elif name in _WINDOWS and value in _BITS:
            found[name] = _BITS[value]
        elif name == "client_max_window_bits" and not has_value:
            found[name] = 15
        else:
            return None
    return found
