"""The order of what one connection says, also when some of it is refused for now. PURE.

A client says much at once and says again what was refused. What it said after that is refused, too, until then: else an older
status would be stored after a newer one, and stand.
"""

from __future__ import annotations

from realtime.errors import JournalUnavailable, Overloaded, RateLimited, RealtimeError
from realtime.policy.resending import IN_FLIGHT_MAX

FOR_NOW = (JournalUnavailable, Overloaded, RateLimited)
"""What is refused with one of these is said again."""
PATIENCE_S = 15.0
"""So long beyond the time when it may come again something is waited for: a slow network needs no longer for what is in flight,
and a client that gave it up may then go on."""
AGAIN_MS = 1_000


class Turns:
    """What was refused for now and has not come again, in the order in which it was said first. Of one priority: what is more
    urgent is stored first in any case."""

    __slots__ = ("_again_s", "_awaited", "_error")

    def __init__(self) -> None:
        self._awaited: dict[str, int] = {}
        self._error: type[RealtimeError] = RealtimeError
        self._again_s = 0.0

    def __bool__(self) -> bool:
        return bool(self._awaited)

    def refused(self, id: str, place: int, error: RealtimeError, now_s: float) -> None:
        """`id`, the one at `place` of all that was said, may come again after the time that `error` says."""
        self._awaited[id] = place
        self._error, self._again_s = type(error), now_s + error.retry_after_ms / 1_000

    def take(self, id: str, place: int, now_s: float) -> tuple[int, RealtimeError | None]:
        """(the place of `id`: `place` unless it was said before, why it has to wait; None: it is its turn).

        What waits is to come again after those before it. Who has said more than a client has in flight does not say again
        what was refused, and is not waited for.
        """
        gave_up = id not in self._awaited and len(self._awaited) >= IN_FLIGHT_MAX
        if gave_up or now_s > self._again_s + PATIENCE_S:
            self._awaited.clear()
        place = self._awaited.get(id, place)
        if any(other < place for other in self._awaited.values()):
            self._awaited[id] = place
            left_ms = int((self._again_s - now_s) * 1_000)
            return place, self._error(
                "Something you said before this is to come first.", retry_after_ms=left_ms if left_ms > 0 else AGAIN_MS
            )
        self._awaited.pop(id, None)
        return place, None
