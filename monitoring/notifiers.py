"""How a notice gets to a receiver: e-mail, a signed webhook, Alertmanager's API v2. Each answers with what became of it.

The content of a notice is a list of alerts in the shape Alertmanager uses everywhere:
`{"status": "firing" | "resolved", "labels": {...}, "annotations": {...}, "startsAt", "endsAt", "fingerprint"}`.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import smtplib
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from socket import socket
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from msgspec import Struct

from monitoring.alerts import SEVERITIES
from monitoring.models.alerts import Notice, Receiver
from realtime.clock import SystemClock

clock = SystemClock()
TIMEOUT_S = 5.0
"""For all of an answer. A receiver that needs longer is tried again."""
ANSWER_BYTES = 400
RESEND_S = 15.0
"""Alertmanager forgets an alert that is not sent again; its documentation asks for a quarter to half a minute."""
ENDS_AFTER = timedelta(seconds=60)
"""Four times RESEND_S: three lost posts do not resolve an alert."""
FINAL = frozenset({400, 401, 403, 404, 405, 410, 413, 415, 422})
"""Answers that trying again will not change by itself."""

Content = list[dict[str, Any]]


class Outcome(Struct, frozen=True):
    """`final`: the receiver refused, it is not down. `reached`: the addresses of a receiver of e-mail that have it by now."""

    ok: bool
    text: str
    final: bool = False
    reached: tuple[str, ...] = ()


class Answer(io.RawIOBase):
    """What comes from a socket, until a moment: a time-out of the socket itself begins anew with each byte. `within_s`: how
    long that is in all; `pause_s`: how long nothing may come."""

    def __init__(self, connection: socket, until_s: float, within_s: float, pause_s: float = float("inf")) -> None:
        self._connection, self._until_s, self._within_s, self._pause_s = connection, until_s, within_s, pause_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises TimeoutError."""
        left_s = self._until_s - clock.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"no whole answer within {self._within_s:.0f} s")
        self._connection.settimeout(min(left_s, self._pause_s))
        return self._connection.recv_into(buffer)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What `HTTPResponse` wants of a socket."""
        return io.BufferedReader(self)


def signature(secret: str, at_s: int, body: bytes) -> str:
    """`t=<unix>,v1=<hex>`: HMAC-SHA256 of "<unix>.<body>", so that neither can be changed nor an old one played again."""
    mac = hmac.new(secret.encode(), b"%d.%b" % (at_s, body), hashlib.sha256)
    return f"t={at_s},v1={mac.hexdigest()}"


def post(url: str, body: bytes, headers: dict[str, str]) -> Outcome:
    """One POST of JSON. A redirect is an answer like any other: a signed page goes where the operator said, nowhere else."""
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    until_s = clock.monotonic() + TIMEOUT_S
    headers = {"Content-Type": "application/json", "User-Agent": "wedsync", "Connection": "close"} | headers
    try:
        with closing(kind(parts.netloc, timeout=TIMEOUT_S)) as connection:
            connection.request("POST", path, body, headers)
            response = HTTPResponse(Answer(connection.sock, until_s, TIMEOUT_S), method="POST")  # type: ignore[arg-type]
            response.begin()
            ok = 200 <= response.status < 300
            text = _rest(response, ok)
    except (OSError, HTTPException, UnicodeError) as error:  # UnicodeError: a host that no name server can be asked for
        return Outcome(False, str(error) or type(error).__name__)
    return Outcome(ok, f"{response.status} {text}".strip(), final=response.status in FINAL)


def _rest(response: HTTPResponse, ok: bool) -> str:
    """What else it said; of a refusal, as far as it came."""
    try:
        return response.read(ANSWER_BYTES).decode(errors="replace")
    except (OSError, HTTPException) as cut_off:
        if ok:
            raise
        return f"({cut_off or type(cut_off).__name__})"


def _email(receiver: Receiver, notice: Notice, now: datetime) -> Outcome:
    """One message for each address that has none yet: a server that refuses one of them takes the others."""
    subject, body = wording(notice.content)
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].rstrip(">") or "localhost"
    # The same id each time: a mailbox that got it before an answer was lost shows it once.
    headers = {"Message-ID": f"<{notice.key}@{domain}>", "X-Wedsync-Key": notice.key}
    reached = [address for address in receiver.addresses if address in notice.reached.split(",")]
    missed: list[str] = []
    final = True
    try:
        with get_connection() as server:
            for address in receiver.addresses:
                if address in reached:
                    continue
                server.open()  # unless it is
                try:
                    server.send_messages([EmailMessage(subject, body, None, [address], headers=headers)])
                    reached.append(address)
                except (smtplib.SMTPException, ValueError) as error:  # ValueError: it cannot be written
                    why, for_good = _refusal(error)
                    missed.append(f"not to {address}: {why}")
                    final &= for_good
                    if not for_good:
                        server.close()  # it may have hung up
    except OSError as error:
        missed.append(f"{type(error).__name__}: {error}")
        final = False
    text = "; ".join([*missed, f"sent to {', '.join(reached)}"] if reached else missed)
    return Outcome(not missed, text, final=bool(missed) and final, reached=tuple(reached))


def _refusal(error: Exception) -> tuple[str, bool]:
    """What the mail server said of one address, and whether it will say so again (RFC 5321, 4.2.1: 5yz)."""
    if not isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"{type(error).__name__}: {error}", False
    ((code, text),) = error.recipients.values()
    return f"{code} {text.decode(errors='replace')}", code >= 500


def _webhook(receiver: Receiver, notice: Notice, now: datetime) -> Outcome:
    firing = any(alert["status"] == "firing" for alert in notice.content)
    body = json.dumps(
        {
            "version": "4",  # of Alertmanager's webhook: what understands that understands this
            "receiver": receiver.name,
            "status": "firing" if firing else "resolved",
            "key": notice.key,
            "alerts": notice.content,
        }
    ).encode()
    headers = {
        "Idempotency-Key": notice.key,
        "X-Wedsync-Signature": signature(receiver.secret, int(now.timestamp()), body),
    }
    return post(receiver.target, body, headers)


def _alertmanager(receiver: Receiver, notice: Notice, now: datetime) -> Outcome:
    return post_alerts(receiver, notice.content, now)


def post_alerts(receiver: Receiver, content: Content, now: datetime) -> Outcome:
    """POST /api/v2/alerts; what fires ends by itself unless it is sent again."""
    ends = (now + ENDS_AFTER).isoformat()
    alerts = [
        {name: alert[name] for name in ("labels", "annotations", "startsAt")}
        | {"endsAt": ends if alert["status"] == "firing" else alert["endsAt"]}
        for alert in content
    ]
    parts = urlsplit(receiver.target)
    url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/api/v2/alerts"
    return post(url, json.dumps(alerts).encode(), {})


Send = Callable[[Receiver, Notice, datetime], Outcome]
_BY_KIND: dict[str, Send] = {
    Receiver.Kind.EMAIL: _email,
    Receiver.Kind.WEBHOOK: _webhook,
    Receiver.Kind.ALERTMANAGER: _alertmanager,
}


def send(receiver: Receiver, notice: Notice, now: datetime) -> Outcome:
    """Hand the notice to its receiver, once. Never raises for what a receiver does."""
    return _BY_KIND[receiver.kind](receiver, notice, now)


def wording(content: Content) -> tuple[str, str]:
    """Subject and text of an e-mail: the subject is about the most urgent that fires."""
    firing = [alert for alert in content if alert["status"] == "firing"]
    first = max(firing or content, key=lambda alert: SEVERITIES.index(alert["labels"]["severity"]))
    word = first["labels"]["severity"].upper() if firing else "OVER"
    more = f" and {len(content) - 1} more" if len(content) > 1 else ""
    subject = f"[{word}] {first['annotations']['summary']}{more}"
    parts = []
    for alert in content:
        notes = alert["annotations"]
        lines = [f"{alert['status'].upper()}: {notes['summary']}", notes["description"], f"Since {alert['startsAt']}"]
        if alert["status"] == "firing":
            lines.append(f"What to do: {notes['what_to_do']}")
        parts.append("\n".join(lines))
    return subject.replace("\n", " ")[:200], "\n\n".join(parts)
