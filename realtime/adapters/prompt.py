"""HTTP requests that have to be complete in time: Twisted waits a minute for the next byte, and a request in drops has many."""

from __future__ import annotations

from daphne.http_protocol import HTTPFactory
from twisted.web.http import HTTPChannel, _GenericHTTPChannelProtocol

REQUEST_S = 15.0
"""From its first byte to its last one, in this process: 480 KB at 256 kbit/s. The dispatcher has waited for its line before."""


class PromptChannel(HTTPChannel):  # type: ignore[misc]  # Twisted's types do not know `timeOut` of an instance
    """Ends a connection whose request is not complete after `REQUEST_S`, however steadily it drips."""

    _begun = False
    _rest_s: float | None = None

    def resetTimeout(self) -> None:  # noqa: N802 - Twisted's name, called for everything that arrives
        if not self._begun:
            self._begun, self._rest_s = True, self.setTimeout(REQUEST_S)

    def allContentReceived(self) -> None:  # noqa: N802
        self._begun = False
        self.setTimeout(self._rest_s)  # what Twisted goes back to after the answer
        super().allContentReceived()


class PromptFactory(HTTPFactory):  # type: ignore[misc]  # Daphne has no types
    """Daphne's, with these channels."""

    protocol = staticmethod(lambda: _GenericHTTPChannelProtocol(PromptChannel()))
