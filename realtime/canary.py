"""Canaries: does what one process says reach the others? The whole path, mailbox and layer included, twice a second."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from realtime.clock import Clock
from realtime.ports import Mailbox

ROOM = "fleet.canaries"
"""Not a wedding: the group on the layer that every process listens to."""
EVERY_S = 0.5
LATELY_S = 1.5
"""Three missed ones. With the time a status takes a deaf worker is known within two seconds."""
GONE_S = 30.0


class Canary(Struct, frozen=True):
    """`monotonic_s` is good on the same machine, `utc_s` elsewhere, as far as the clocks agree."""

    process: str
    monotonic_s: float
    utc_s: float


class Canaries:
    """Those of this process and of the others."""

    def __init__(self, mailbox: Mailbox, clock: Clock, process: str) -> None:
        self._mailbox = mailbox
        self._clock = clock
        self._process = process
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Canary).decode
        # {process: (when it was heard, how long it took)}
        self._heard: dict[str, tuple[float, float]] = {}
        self._since_s: float | None = None

    def send(self) -> None:
        now_s = self._clock.monotonic()
        # The time until the first one says nothing: a process takes seconds to start on a busy machine.
        self._since_s = now_s if self._since_s is None else self._since_s
        canary = Canary(self._process, now_s, self._clock.now().timestamp())
        self._mailbox.send(ROOM, [self._encode(canary)])

    def receive(self, raw: bytes) -> None:
        """One from the mailbox; what cannot be read comes from another release."""
        now_s = self._clock.monotonic()
        try:
            canary = self._decode(raw)
        except msgspec.MsgspecError:
            return
        if _host(canary.process) == _host(self._process):
            took_s = now_s - canary.monotonic_s
        else:
            took_s = self._clock.now().timestamp() - canary.utc_s
        self._heard[canary.process] = (now_s, max(0.0, took_s))

    @property
    def deaf(self) -> bool:
        """Whether this process does not even hear itself."""
        return self.heard().get(self._process, 0.0) is None

    def of_others(self) -> dict[str, float | None]:
        """`heard` without this process."""
        return {process: took_s for process, took_s in self.heard().items() if process != self._process}

    def heard(self) -> dict[str, float | None]:
        """{process, this one included: seconds its last canary took; None when none came lately}."""
        now_s = self._clock.monotonic()
        self._heard = {process: heard for process, heard in self._heard.items() if now_s - heard[0] < GONE_S}
        lately = {process: took_s if now_s - at_s < LATELY_S else None for process, (at_s, took_s) in self._heard.items()}
        if self._since_s is not None and self._process not in lately and now_s - self._since_s > LATELY_S:
            lately[self._process] = None
        return lately


def _host(process: str) -> str:
    return process.rsplit(".", 2)[0]
