"""What clients send nearly always, read in one step: a whole, unfragmented, uncompressed text frame. PURE.

Autobahn reads a frame in a dozen steps that are made for all there may be, 20 us; this takes 1.5. Whatever is not exactly that
(a part of a frame, a fragment, a control frame, a compressed or a faulty one) is left to autobahn, from its first byte on.
"""

from __future__ import annotations

TEXT = 0x81
"""FIN and the opcode of text; no extension bit (RFC 6455 section 5.2)."""
MASKED = 0x80
SHORT_MAX, TWO_BYTES = 125, 126


def text_at(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The text of the frame that begins at `at`, and where it ends. None: it is something else, or not all of it is here."""
    size = len(data) - at
    if size < 6 or data[at] != TEXT or not data[at + 1] & MASKED:
        return None
    n_bytes, key_at = data[at + 1] ^ MASKED, at + 2
    if n_bytes > SHORT_MAX:
        length = n_bytes
        n_bytes, key_at = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        if length != TWO_BYTES or n_bytes <= SHORT_MAX:
            return None
    begin, end = key_at + 4, key_at + 4 + n_bytes
    if end > len(data):
        return None
    # As whole numbers: one operation of the interpreter for all bytes.
    key = (data[key_at:begin] * (n_bytes // 4 + 1))[:n_bytes]
    text = (int.from_bytes(data[begin:end], "little") ^ int.from_bytes(key, "little")).to_bytes(n_bytes, "little")
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return None
    return text, end
