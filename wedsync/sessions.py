"""Sessions in the database, of keys that Django makes: letters and digits. Another one is none, and is not looked for: in
PostgreSQL's text there is no NUL, so that to ask for a key with one is an error. With a session its login is over."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends import db

from realtime.revoked import LOGIN
from wedsync.weddings.models import Withdrawn


class SessionStore(db.SessionStore):
    """Django's; the name of the class is part of what its data are signed with."""

    def flush(self) -> None:
        """What came in by this login goes, on this device; others of the same person have a login of their own. Every end of a
        login comes here: a logout, another account over it, a password that was changed elsewhere."""
        if login := self.get(LOGIN):
            Withdrawn.note([(Withdrawn.NOBODY, login)])
        super().flush()

    async def aflush(self) -> None:
        await sync_to_async(self.flush)()

    def _validate_session_key(self, key: str) -> bool:
        good: bool = super()._validate_session_key(key)  # type: ignore[misc]  # not in the stubs
        return good and key.isascii() and key.isalnum()
