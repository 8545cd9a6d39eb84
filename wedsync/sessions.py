"""Sessions in the database, of keys that Django makes: letters and digits. Another one is none, and is not looked for: in
PostgreSQL's text there is no NUL, so that to ask for a key with one is an error."""

from __future__ import annotations

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """Django's; the name of the class is part of what its data are signed with."""

    def _validate_session_key(self, key: str) -> bool:
        good: bool = super()._validate_session_key(key)  # type: ignore[misc]  # not in the stubs
        return good and key.isascii() and key.isalnum()
