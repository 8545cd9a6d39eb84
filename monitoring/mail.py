"""Mail by SMTP, in bounded time: a time-out of a socket begins anew with whatever comes, and some servers never end."""

from __future__ import annotations

import io
import smtplib
from functools import partial
from typing import Any

from django.core.mail.backends import smtp

from monitoring import notifiers

WITHIN_S = 60.0
"""For all that is said while one notice is sent. Each answer has `EMAIL_TIMEOUT` at most to go on."""


class EmailBackend(smtp.EmailBackend):
    """That of Django, until a moment: all its connections together have WITHIN_S from when it was made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._until_s = notifiers.clock.monotonic() + WITHIN_S

    @property
    def connection_class(self) -> Any:
        return partial(_EncryptedTalk if self.use_ssl else _Talk, self._until_s)


class _Talk(smtplib.SMTP):
    def __init__(self, until_s: float, *args: Any, **kwargs: Any) -> None:
        self._until_s = until_s
        super().__init__(*args, **kwargs)  # which connects, and reads

    def getreply(self) -> tuple[int, bytes]:
        """Raises SMTPServerDisconnected, also when it takes too long."""
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(notifiers.Answer(self.sock, self._until_s, WITHIN_S, pause_s=self.timeout))
        return super().getreply()


class _EncryptedTalk(_Talk, smtplib.SMTP_SSL):
    pass
