"""Every error a caller of this package may meet. One base; the message is the first line of the docstring unless given."""

from __future__ import annotations


class RealtimeError(Exception):
    """Realtime could not do what was asked."""

    code = "error"
    http_status = 500

    def __init__(self, message: str = "", *, field: str = "", retry_after_ms: int = 0) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.field = field
        self.retry_after_ms = retry_after_ms
        super().__init__(self.message)


class Invalid(RealtimeError):
    """The message does not have the shape its kind asks for."""

    code, http_status = "invalid", 422


class Malformed(Invalid):
    """This is not a message of the protocol."""

    code, http_status = "malformed", 400


class UnknownKind(Invalid):
    """There is no message kind of this name."""

    code = "unknown_kind"


class TooLarge(RealtimeError):
    """The message is larger than this role may send."""

    code, http_status = "too_large", 413


class Forbidden(RealtimeError):
    """This role may not publish this kind."""

    code, http_status = "forbidden", 403


class UnknownRoom(RealtimeError):
    """There is no such wedding."""

    code, http_status = "unknown_room", 404


class Refused(RealtimeError):
    """The run sheet does not allow this change."""

    code, http_status = "refused", 409


class RateLimited(RealtimeError):
    """Too many messages; wait before the next one."""

    code, http_status = "rate_limited", 429


class Overloaded(RealtimeError):
    """The server is very busy and takes only what is urgent; nothing was published. Send it again later if it still matters."""

    code, http_status = "overloaded", 503


class JournalUnavailable(RealtimeError):
    """The journal cannot store anything now; nothing was acknowledged. Keep the message and send it again."""

    code, http_status = "journal_unavailable", 503


class Unanswered(JournalUnavailable):
    """Whether the journal has stored this is not known. Send it again with the same id: it is stored once."""

    def __init__(self, id: str, *, retry_after_ms: int = 0) -> None:
        super().__init__(
            f"Whether the journal has stored {id} is not known. Send it again with this id: it is stored once.",
            retry_after_ms=retry_after_ms or 1_000,
        )
        self.id = id


class BadCredentials(RealtimeError):
    """The ticket, token or session is not valid for this wedding."""

    code, http_status = "bad_credentials", 403


class RegistryUnavailable(RealtimeError):
    """The other processes cannot be asked about now; what is known of them is getting old."""

    code, http_status = "registry_unavailable", 503
