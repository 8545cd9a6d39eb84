"""HTTP requests that have to be complete in time, and small: Twisted waits a minute for the next byte, and a request in drops
has many; Daphne gathers a body of any size before the application is asked."""

from __future__ import annotations

import json

from daphne.http_protocol import HTTPFactory
from twisted.web.http import HTTPChannel, Request, _GenericHTTPChannelProtocol

from realtime.errors import TooLarge
from realtime.policy.limits import body_limit

REQUEST_S = 15.0
"""From its first byte to its last one, in this process: 480 KB at 256 kbit/s. The dispatcher has waited for its line before."""
DIGITS_MAX = 19
"""Of a length: more are no size of anything, and above 4,300 `int` raises."""
READ_AS_ASCII = (b"sec-websocket-protocol", b"daphne-root-path")
"""By Daphne, with an error of the server's where one is not."""
FROM_A_PROXY = (b"x-forwarded-for", b"x-forwarded-proto", b"forwarded", b"via")
_ELSEWHERE = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class PromptChannel(HTTPChannel):  # type: ignore[misc]  # Twisted's types do not know `timeOut` of an instance
    """Ends a connection whose request is not complete after `REQUEST_S`, however steadily it drips, or is not to be read.

    `passed`: the dispatcher has chosen this process for it, by its first request. A proxy would send others over it, of other
    people and for other weddings: it is not kept for one, and a later WebSocket is asked to come by itself."""

    passed = False
    _begun = False
    _rest_s: float | None = None
    _body_max_bytes = _n_bytes = 0
    _served = 0

    def resetTimeout(self) -> None:  # noqa: N802 - Twisted's name, called for everything that arrives
        if not self._begun:
            self._begun, self._rest_s = True, self.setTimeout(REQUEST_S)

    def headerReceived(self, line: bytes) -> bool:  # noqa: N802
        if not line.isascii() and line.partition(b":")[0].lower() in READ_AS_ASCII:
            self._respondToBadRequestAndDisconnect()
            return False
        return bool(super().headerReceived(line))

    def _maybeChooseTransferDecoder(self, header: bytes, data: bytes) -> bool:  # noqa: N802
        if header == b"Content-Length" and len(data) > DIGITS_MAX:
            return bool(self._failChooseTransferDecoder())
        return bool(super()._maybeChooseTransferDecoder(header, data))

    def allHeadersReceived(self) -> None:  # noqa: N802
        self._body_max_bytes, self._n_bytes = body_limit(self._path), 0
        if self.length is not None and self.length > self._body_max_bytes:
            self._refuse()
        else:
            super().allHeadersReceived()

    def rawDataReceived(self, data: bytes) -> None:  # noqa: N802
        """A part of a body, or what comes after it. One in chunks has no length; how it is cut counts as well."""
        if self.length is None:
            self._n_bytes += len(data)
            if self._n_bytes > self._body_max_bytes:
                self._refuse()
                return
        super().rawDataReceived(data)

    def _refuse(self) -> None:
        """For good. What still comes until `REQUEST_S` is over is read, so that the answer arrives, and thrown away."""
        self.rawDataReceived = _thrown_away  # type: ignore[method-assign]
        error = TooLarge(f"The body may have {self._body_max_bytes} bytes.")
        body = json.dumps({"error": {"code": error.code, "message": error.message}}).encode()
        head = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Type: application/json\r\n"
        self.transport.write(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))

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


def _thrown_away(data: bytes) -> None:
    pass


class PromptFactory(HTTPFactory):  # type: ignore[misc]  # Daphne has no types
    """Daphne's, with these channels."""

    protocol = staticmethod(lambda: _GenericHTTPChannelProtocol(PromptChannel()))
