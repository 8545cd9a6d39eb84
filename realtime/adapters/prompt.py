"""HTTP requests that have to be complete in time: Twisted waits a minute for the next byte, and a request in drops has many."""

from __future__ import annotations

from daphne.http_protocol import HTTPFactory
from twisted.web.http import HTTPChannel, Request, _GenericHTTPChannelProtocol

REQUEST_S = 15.0
"""From its first byte to its last one, in this process: 480 KB at 256 kbit/s. The dispatcher has waited for its line before."""
FROM_A_PROXY = (b"x-forwarded-for", b"x-forwarded-proto", b"forwarded", b"via")
_ELSEWHERE = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class PromptChannel(HTTPChannel):  # type: ignore[misc]  # Twisted's types do not know `timeOut` of an instance
    """Ends a connection whose request is not complete after `REQUEST_S`, however steadily it drips.

    `passed`: the dispatcher has chosen this process for it, by its first request. A proxy would send others over it, of other
    people and for other weddings: it is not kept for one, and a later WebSocket is asked to come by itself."""

    passed = False
    _begun = False
    _rest_s: float | None = None
    _served = 0

    def resetTimeout(self) -> None:  # noqa: N802 - Twisted's name, called for everything that arrives
        if not self._begun:
            self._begun, self._rest_s = True, self.setTimeout(REQUEST_S)

    def allContentReceived(self) -> None:  # noqa: N802
        self._begun = False
        self.setTimeout(self._rest_s)  # what Twisted goes back to after the answer
        self._served += 1
        if self.passed and self._served > 1 and self.requests[-1].requestHeaders.hasHeader(b"upgrade"):
            self.transport.write(_ELSEWHERE)
            self.loseConnection()
        else:
            super().allContentReceived()

    def checkPersistence(self, request: Request, version: bytes) -> bool:  # noqa: N802
        if self.passed and any(map(request.requestHeaders.hasHeader, FROM_A_PROXY)):
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        kept: bool = super().checkPersistence(request, version)
        return kept


class PromptFactory(HTTPFactory):  # type: ignore[misc]  # Daphne has no types
    """Daphne's, with these channels."""

    protocol = staticmethod(lambda: _GenericHTTPChannelProtocol(PromptChannel()))
