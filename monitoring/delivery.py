"""Empties the outbox: every notice to its receiver, in order, again and again until it got there or was refused for good."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import DatabaseError, connections
from django.db.models import Q
from msgspec import Struct

from monitoring import incidents
from monitoring.alerting import content
from monitoring.models.alerts import RESULT_CHARS, Alert, AlertRule, Notice, Receiver
from monitoring.notifiers import RESEND_S, Content, Outcome, Send, post_alerts, send
from monitoring.router import ALIAS
from realtime.clock import Clock, SystemClock

logger = logging.getLogger(__name__)
real = SystemClock()

ROUND_S = 1.0
TURN_S = 2.0
"""So long a round waits for the receivers; what takes longer goes on beside it and is looked at in the rounds that follow."""
FIRST_WAIT_S = 1.0
WAIT_MAX_S = 30.0
"""A receiver that comes back hears of it within half a minute, and one that is down is not beaten."""
WAIT_MAX = timedelta(seconds=WAIT_MAX_S)
"""What is to wait for longer than this was written down before the clock was set back."""
REFUSALS_MAX = 5
"""Answers such as 401 or 404: somebody may be mending the receiver; after half a minute the next notice has its turn."""
GIVE_UP_AFTER = timedelta(hours=24)
BATCH_MAX = 20
"""Notices of one receiver in one round: the others get their turn."""
RESOLVED_FOR = timedelta(minutes=5)
"""So long Alertmanager is told that an alert is over, as its documentation asks of clients."""
KEPT = timedelta(days=30)
ANY_WAITING = f"SELECT 1 FROM {Notice._meta.db_table} WHERE sent_at IS NULL AND given_up_at IS NULL LIMIT 1"


def wait_s(tries: int) -> float:
    """How long after try number `tries` (from 1) the next one comes."""
    return min(WAIT_MAX_S, FIRST_WAIT_S * 2.0 ** min(tries - 1, 10))


class Sending(Struct, frozen=True):
    """What a receiver was sent. `notice` None: all that fires, again. `behind`: its addresses that were left out, since they
    wait for what came before."""

    receiver: Receiver
    notice: Notice | None
    answer: Future[Outcome]
    behind: frozenset[str] = frozenset()


class Delivery:
    """One round a second, beside the control loop so that a slow receiver delays no evaluation."""

    def __init__(self, how: Send = send) -> None:
        self._send = how
        self._resent_at: datetime | None = None
        self.under_way: dict[int, Sending] = {}
        """What has no answer yet, one for each receiver: until it has, nothing else is sent there."""

    def step(self, now: datetime) -> int:
        """Send what is due; gives how many notices got there. Raises DatabaseError when the outbox cannot be read."""
        count = sum(self._end(sending, now) for sending in list(self.under_way.values()) if sending.answer.done())
        count += self._round([self._notices(receiver, now) for receiver in self._due(now)], now)
        if self._resent_at is None or abs((now - self._resent_at).total_seconds()) >= RESEND_S:
            self._resent_at = now
            self._resend(now)
        return count

    def _due(self, now: datetime) -> list[Receiver]:
        """Who is to be sent something and has answered all."""
        with connections[ALIAS].cursor() as cursor:  # every second: to make a query set would cost more than to ask
            cursor.execute(ANY_WAITING)
            if cursor.fetchone() is None:
                return []
        in_time = Q(notices__next_try_at__lte=now) | Q(notices__next_try_at__gt=now + WAIT_MAX)
        due = Q(notices__sent_at=None, notices__given_up_at=None) & in_time
        receivers = Receiver.objects.filter(due, enabled=True).distinct().order_by("pk")
        return [receiver for receiver in receivers if receiver.pk not in self.under_way]

    def _round(self, turns: Iterable[Iterator[Sending]], now: datetime) -> int:
        """All at once, each receiver the next one when it has answered, for TURN_S; gives how many notices got there."""
        count, until_s = 0, real.monotonic() + TURN_S
        begun: dict[Future[Outcome], tuple[Iterator[Sending], Sending]] = {}

        def begin(turn: Iterator[Sending]) -> None:
            for sending in islice(turn, 1):
                self.under_way[sending.receiver.pk] = sending
                begun[sending.answer] = turn, sending

        for turn in turns:
            begin(turn)
        while done := wait(begun, max(0.0, until_s - real.monotonic()), FIRST_COMPLETED).done:
            for answer in done:
                turn, sending = begun.pop(answer)
                count += self._end(sending, now)
                if real.monotonic() < until_s:
                    begin(turn)
        return count

    def _notices(self, receiver: Receiver, now: datetime) -> Iterator[Sending]:
        """In the order in which it happened, for each address: what comes later waits for what cannot be sent there, or an end
        would overtake its beginning. Whoever asks for the next one has written down what became of the last."""
        behind, count = set[str](), 0
        waiting = receiver.notices.filter(sent_at=None, given_up_at=None).order_by("pk")
        for pk, reached, next_try_at in waiting.values_list("pk", "reached", "next_try_at"):
            missing = set(receiver.addresses) - set(reached.split(","))
            if now < next_try_at <= now + WAIT_MAX:
                behind |= missing
            if missing and missing <= behind:
                continue
            if (count := count + 1) > BATCH_MAX:
                return
            notice, late = receiver.notices.get(pk=pk), frozenset(missing & behind)
            yield Sending(receiver, notice, _beside(self._send, receiver.without(late), notice, now), late)
            if notice.sent_at is None and notice.given_up_at is None:
                behind |= missing - set(notice.reached.split(","))

    def _end(self, sending: Sending, now: datetime) -> bool:
        """Write down what became of it; gives whether a notice got there."""
        del self.under_way[sending.receiver.pk]
        outcome = sending.answer.result()
        if sending.notice is not None:
            self._result(sending, sending.notice, outcome, now)
        _remember(sending.receiver, outcome, now)
        return sending.notice is not None and sending.notice.sent_at is not None

    def _result(self, sending: Sending, notice: Notice, outcome: Outcome, now: datetime) -> None:
        receiver, had = sending.receiver, notice.reached.split(",")
        notice.tries += 1
        notice.result = outcome.text[:RESULT_CHARS]
        notice.reached = ",".join(address for address in receiver.addresses if address in (*had, *outcome.reached))
        if outcome.ok and sending.behind:
            later = f"{outcome.text}; to {', '.join(sorted(sending.behind))} after what came before"
            notice.result = later[:RESULT_CHARS]
        elif outcome.ok:
            notice.sent_at = now
        elif (outcome.final and notice.tries >= REFUSALS_MAX) or now - notice.created_at >= GIVE_UP_AFTER:
            notice.given_up_at = now
            text = f"given up for {receiver.name} after {notice.tries} tries: {notice.result}"
            logger.error("A notice was %s", text)
            incidents.note(incidents.Kind.NOTICE, f"A notice was {text}", now)
        else:
            notice.next_try_at = now + timedelta(seconds=wait_s(notice.tries))
        notice.save(update_fields=["tries", "result", "reached", "sent_at", "given_up_at", "next_try_at"])

    def _resend(self, now: datetime) -> None:
        """Alertmanager believes in an alert only as long as it hears of it."""
        managers = list(Receiver.objects.filter(enabled=True, kind=Receiver.Kind.ALERTMANAGER))
        if not managers:
            return
        rules = {rule.name: rule for rule in AlertRule.objects.all()}
        known = Alert.objects.filter(Q(resolved_at=None) | Q(resolved_at__gt=now - RESOLVED_FOR))
        alerts: Content = [content(row, row.about(rules)) for row in known.order_by("pk")]
        wanted = {m: [alert for alert in alerts if m.wants(alert["labels"])] for m in managers if m.pk not in self.under_way}
        sendings = (Sending(m, None, _beside(post_alerts, m, some, now)) for m, some in wanted.items() if some)
        self._round([iter([sending]) for sending in sendings], now)


def _beside(send: Callable[..., Outcome], receiver: Receiver, *more: Any) -> Future[Outcome]:
    """What becomes of it, in a thread that keeps no process from ending: a resolver or a mail server may take long."""
    answer = Future[Outcome]()
    threading.Thread(target=lambda: answer.set_result(_tried(send, receiver, *more)), daemon=True).start()
    return answer


def _tried(send: Callable[..., Outcome], receiver: Receiver, *more: Any) -> Outcome:
    """What became of it. Whatever is wrong with one receiver, the others have their turn."""
    try:
        return send(receiver, *more)
    except Exception as error:
        logger.exception("sending to %s failed", receiver.name)
        return Outcome(False, f"{type(error).__name__}: {error}")


def _remember(receiver: Receiver, outcome: Outcome, now: datetime) -> None:
    receiver.last_result = outcome.text[:RESULT_CHARS]
    if outcome.ok:
        receiver.last_ok_at = now
    receiver.save(update_fields=["last_result", "last_ok_at"])


async def delivering(clock: Clock, in_thread: Callable[..., Awaitable[Any]]) -> None:
    """Empty the outbox once a second, for as long as this runs: a task of the control loop, beside its ticks. `in_thread` is
    one thread of its own, since a round may take twice TURN_S when receivers do not answer."""
    delivery = Delivery()
    while True:
        try:
            await in_thread(delivery.step, clock.now())
        except DatabaseError as error:
            logger.error("the outbox waits for the history database: %s", error)
        except Exception:
            logger.exception("delivering notices failed; it is tried again")
        await clock.sleep(ROUND_S)


def prune(now: datetime) -> int:
    """Forget notices that are done and old; gives how many."""
    old = Q(sent_at__lt=now - KEPT) | Q(given_up_at__lt=now - KEPT)
    return Notice.objects.filter(old).delete()[0]
