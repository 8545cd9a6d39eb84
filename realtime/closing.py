"""Close codes. 4000-4399 mean come back, 4400-4499 mean stay away; autobahn allows an application nothing below 3000 but 1000.

Daphne drops the close reason, so a `Goodbye` message with code, reason and retry time goes ahead of every close of ours.
"""

from enum import IntEnum


class CloseCode(IntEnum):
    """Why the server ends a connection. docs/protocol.md says what a client does with each."""

    NORMAL = 1000
    GOING_AWAY = 4001  # the process stops; come back after retry_after_ms, to another one or when it runs again
    TOO_SLOW = 4008  # did not read what was sent; come back and resume
    MOVED = 4012  # another process serves this wedding now
    OVERLOADED = 4013  # come back after retry_after_ms
    STATE_LOST = 4020  # what this connection was told may be wrong; come back for a snapshot
    BAD_CREDENTIALS = 4401  # revoked or expired while connected
    FORBIDDEN = 4403  # the role changed and has no place here
    ABUSE = 4408  # kept sending past the limits
    TOO_LARGE = 4409  # one message above the limit, or in too many fragments
    MALFORMED = 4410  # not the protocol

    @property
    def come_back(self) -> bool:
        """Whether a client should reconnect after this code."""
        return self < 4400
